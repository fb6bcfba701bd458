#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "common/check.h"
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
  TlsTransport(int descriptor, TlsCredentials::Context context)
      : descriptor_(descriptor),
        context_(std::move(context)),
        ssl_(::SSL_new(context_.get()), ::SSL_free) {
    CHECK(ssl_ != nullptr);
    CHECK(::SSL_set_fd(ssl_.get(), descriptor) == 1);
    ::SSL_set_accept_state(ssl_.get());
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
        if (ERR_GET_REASON(::ERR_peek_error()) == SSL_R_HTTP_REQUEST) {
          [[maybe_unused]] const ssize_t sent =
              ::send(descriptor_, kSpeakTls.data(), kSpeakTls.size(), MSG_NOSIGNAL);
        }
        ::ERR_clear_error();
        return {IoResult::Status::kFailed};
    }
  }

  const int descriptor_;
  const TlsCredentials::Context context_;
  const std::unique_ptr<SSL, decltype(&::SSL_free)> ssl_;
  bool failed_ = false;
};

}  // namespace

std::unique_ptr<Transport> MakeTlsTransport(int descriptor, TlsCredentials::Context context) {
  return std::make_unique<TlsTransport>(descriptor, std::move(context));
}

}  // namespace spillway
