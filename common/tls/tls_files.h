#pragma once

#include <string>

#include "absl/status/status.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace spillway {

// Why OpenSSL's last call of this thread failed; empties its queue of errors.
std::string LastOpenSslError();

// PEM files that one end of a connection shows the other.
struct TlsFiles {
  std::string certificate;  // its own first, then those between it and a root
  std::string key;          // without a passphrase
};

// Reads `files` into `context`.
//   NOT_FOUND         a file can't be read
//   INVALID_ARGUMENT  it holds no certificate or key, or they don't belong together; the message
//                     says which, and what to do
// After a failure the context is of no use.
absl::Status UseTlsFiles(ssl_ctx_st* context, const TlsFiles& files);

// Whether `files`, and the roots in the PEM file `authority`, can be used. gRPC reads such files in
// the background, and of bad ones says nothing but that no connection comes about. Errors as above.
absl::Status CheckTlsFiles(const TlsFiles& files, const std::string& authority);

}  // namespace spillway
