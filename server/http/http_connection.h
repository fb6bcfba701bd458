#pragma once

#include "server/http/http_session.h"
#include "server/http/http_thread.h"
#include "server/http/tls_credentials.h"

namespace boost::asio {
class io_context;
}

namespace spillway {

// Takes over the connected TCP socket `descriptor` and serves it on `context` until it closes; over
// TLS if `tls` isn't null. `thread` outlives it. Call on the thread of `context`.
void ServeConnection(boost::asio::io_context& context, int descriptor, bool is_v6,
                     TlsCredentials::Context tls, ConnectionOrigin origin, HttpThreadState& thread);

}  // namespace spillway
