#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/http/connection_count.h"
#include "server/http/http_thread.h"
#include "server/http/tls_credentials.h"

namespace boost::asio {
class io_context;
}

namespace spillway {

struct HttpListener {
  std::string address = "127.0.0.1:8080";  // host:port, [v6]:port; port 0: any free one
  bool token_required = true;
  bool any_origin = false;              // answers carry Access-Control-Allow-Origin: *
  bool ollama = false;                  // as ListenerTraits has it
  std::shared_ptr<TlsCredentials> tls;  // null: plain HTTP
};

// A listening socket of one thread, and what becomes of the connections that arrive there.
//
// Out of descriptors it closes the connection that has waited longest for a request, and tries
// again in a moment: it neither spins nor gives up.
//
// Threading: made and started before the thread of `context` runs, then that thread only.
class Acceptor {
 public:
  virtual ~Acceptor() = default;
  virtual void Start() = 0;
  virtual void Stop() = 0;
  virtual const std::string& bound_address() const = 0;  // "127.0.0.1:43211"
};

// Listens on `address`, which overrides the listener's: of several threads the later ones get the
// port that the first was given. All of them share the port; the kernel spreads the connections.
//   INVALID_ARGUMENT  the address is not host:port
//   ALREADY_EXISTS    somebody listens there
//   UNAVAILABLE       the machine refused otherwise
// All references must outlive the acceptor.
absl::StatusOr<std::unique_ptr<Acceptor>> OpenAcceptor(boost::asio::io_context& context,
                                                       const HttpListener& listener,
                                                       const std::string& address,
                                                       HttpThreadState& thread,
                                                       ConnectionCount& connections);

// The same errors if OpenAcceptor() would let this process share the port with another's.
absl::Status CheckPortIsFree(boost::asio::io_context& context, const std::string& address);

}  // namespace spillway
