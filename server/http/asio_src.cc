// Asio's own code, compiled once here instead of in each file that includes them.
#include <boost/asio/impl/src.hpp>
