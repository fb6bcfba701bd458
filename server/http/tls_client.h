#pragma once

#include <memory>
#include <string>

#include "server/http/tls_credentials.h"
#include "server/http/transport.h"

namespace spillway {

// How this process speaks TLS to servers: versions 1.2 and 1.3, certificates checked against the
// system's, or those that SSL_CERT_FILE names. Never null; connections share it.
TlsCredentials::Context MakeTlsClientContext();

// The client's side of TLS to `host`, which the certificate must be for: a name or an address. The
// handshake is part of the first reads and writes. The process must ignore SIGPIPE.
std::unique_ptr<Transport> MakeTlsClientTransport(int descriptor, TlsCredentials::Context context,
                                                  const std::string& host);

}  // namespace spillway
