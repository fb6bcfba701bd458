#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/file_stamp.h"
#include "common/mutex.h"
#include "common/tls/tls_files.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace spillway {

// A server's certificate and key, and with them how TLS is spoken: versions 1.2 and 1.3, ciphers
// with forward secrecy and authenticated encryption, HTTP/1.1 by ALPN, no renegotiation, no
// compression.
//
// The files may be replaced while the server runs; connections that are open keep what they began
// with. Thread-safe.
class TlsCredentials {
 public:
  using Context = std::shared_ptr<ssl_ctx_st>;

  // NOT_FOUND, INVALID_ARGUMENT as UseTlsFiles().
  static absl::StatusOr<std::unique_ptr<TlsCredentials>> Load(TlsFiles files);

  const TlsFiles& files() const { return files_; }

  // For one new connection.
  Context context() const EXCLUDES(mutex_);
  // The end of the certificate's life.
  absl::Time expires() const EXCLUDES(mutex_);

  // Reads the files again. After a failure (as Load()) all stays as it was.
  absl::Status Reload() EXCLUDES(mutex_);

  // Whether the files have changed since they were last read, and have stood still since the last
  // call: certificate and key are rarely replaced in one instant. Call every second or so.
  bool HaveChanged() EXCLUDES(mutex_);

 private:
  struct Stamps {
    FileStamp certificate;
    FileStamp key;
    friend bool operator==(const Stamps&, const Stamps&) = default;
  };

  explicit TlsCredentials(TlsFiles files) : files_(std::move(files)) {}
  Stamps StampsNow() const { return {StampOf(files_.certificate), StampOf(files_.key)}; }

  const TlsFiles files_;
  mutable Mutex mutex_;
  Context context_ GUARDED_BY(mutex_);
  absl::Time expires_ GUARDED_BY(mutex_);
  Stamps read_ GUARDED_BY(mutex_);       // of the files that were read last, whatever came of it
  Stamps last_seen_ GUARDED_BY(mutex_);  // by HaveChanged()
};

}  // namespace spillway
