#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "server/http/tls_client.h"
#include "server/http/transport.h"

namespace spillway {
namespace {

constexpr std::string_view kSpeakTls =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 42\r\n"
    "Connection: close\r\n\r\nThis port speaks TLS only: use https://.\r\n";

// The handshake is part of the first reads. OpenSSL keeps a queue of errors per thread: it is empty
// before each call, so that an error belongs to the call that made it.
class TlsTransport : public Transport {
 public:
  // `server_host`: whom it talks to; empty: it is the server itself.
  TlsTransport(int descriptor, TlsCredentials::Context context, const std::string& server_host)
      : descriptor_(descriptor),
        context_(std::move(context)),
        ssl_(::SSL_new(context_.get()), ::SSL_free),
        is_server_(server_host.empty()) {
    CHECK(ssl_ != nullptr);
    CHECK(::SSL_set_fd(ssl_.get(), descriptor) == 1);
    if (is_server_) {
      ::SSL_set_accept_state(ssl_.get());
      return;
    }
    ::SSL_set_connect_state(ssl_.get());
    // What is unsent may have moved in memory until it is given again.
    ::SSL_set_mode(ssl_.get(), SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl_.get()), server_host.c_str()) == 1) {
      return;
    }
    ::SSL_set_tlsext_host_name(ssl_.get(), server_host.c_str());
    ::SSL_set1_host(ssl_.get(), server_host.c_str());
  }

  IoResult Read(char* into, size_t bytes_max) override {
    ::ERR_clear_error();
    size_t bytes = 0;
    const int returned = ::SSL_read_ex(ssl_.get(), into, bytes_max, &bytes);
    return ResultOf(returned, bytes);
  }

  IoResult Write(std::string_view text) override {
    ::ERR_clear_error();
    size_t bytes = 0;
    const int returned = ::SSL_write_ex(ssl_.get(), text.data(), text.size(), &bytes);
    return ResultOf(returned, bytes);
  }

  void ShutdownSend() override {
    ::ERR_clear_error();
    // After a broken handshake or a fatal error there is nobody to say it to.
    if (established() && !failed_) ::SSL_shutdown(ssl_.get());
    ::shutdown(descriptor_, SHUT_WR);
  }

  bool established() const override { return ::SSL_is_init_finished(ssl_.get()) == 1; }
  std::string why_failed() const override { return why_failed_; }

 private:
  IoResult ResultOf(int returned, size_t bytes) {
    if (returned == 1) return {IoResult::Status::kDone, bytes};
    switch (::SSL_get_error(ssl_.get(), returned)) {
      case SSL_ERROR_WANT_READ:
        return {IoResult::Status::kBlockedOnRead};
      case SSL_ERROR_WANT_WRITE:
        return {IoResult::Status::kBlockedOnWrite};
      case SSL_ERROR_ZERO_RETURN:
        return {IoResult::Status::kEnd};
      default:
        failed_ = true;
        NoteWhy();
        if (is_server_ && ERR_GET_REASON(::ERR_peek_error()) == SSL_R_HTTP_REQUEST) {
          [[maybe_unused]] const ssize_t sent =
              ::send(descriptor_, kSpeakTls.data(), kSpeakTls.size(), MSG_NOSIGNAL);
        }
        ::ERR_clear_error();
        return {IoResult::Status::kFailed};
    }
  }

  void NoteWhy() {
    if (is_server_) return;
    const long verified = ::SSL_get_verify_result(ssl_.get());
    if (verified != X509_V_OK) {
      why_failed_ = absl::StrCat(
          "its certificate is not trusted: ", ::X509_verify_cert_error_string(verified),
          " (SSL_CERT_FILE names a file of certificates to trust)");
    } else if (const char* reason = ::ERR_reason_error_string(::ERR_peek_error())) {
      why_failed_ = reason;
    }
  }

  const int descriptor_;
  const TlsCredentials::Context context_;
  const std::unique_ptr<SSL, decltype(&::SSL_free)> ssl_;
  const bool is_server_;
  bool failed_ = false;
  std::string why_failed_;
};

}  // namespace

std::unique_ptr<Transport> MakeTlsTransport(int descriptor, TlsCredentials::Context context) {
  return std::make_unique<TlsTransport>(descriptor, std::move(context), /*server_host=*/"");
}

std::unique_ptr<Transport> MakeTlsClientTransport(int descriptor, TlsCredentials::Context context,
                                                  const std::string& host) {
  CHECK(!host.empty());
  return std::make_unique<TlsTransport>(descriptor, std::move(context), host);
}

TlsCredentials::Context MakeTlsClientContext() {
  TlsCredentials::Context context(::SSL_CTX_new(TLS_client_method()), ::SSL_CTX_free);
  CHECK(context != nullptr);
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_default_verify_paths(context.get());
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return context;
}

}  // namespace spillway
