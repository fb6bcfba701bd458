#include "server/http/http_client.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/http/response_reader.h"
#include "server/http/tls_client.h"

namespace spillway {
namespace {

constexpr size_t kReadBytes = 16 << 10;
// What a client of ours takes: an answer, streamed or whole.
constexpr HttpLimits kAnswerLimits = {.head_bytes_max = 64 << 10,
                                      .body_bytes_max = size_t{256} << 20};

struct Free {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using UniqueBio = std::unique_ptr<BIO, Free>;

std::string Authority(const BaseUrl& url) {
  const bool is_v6 = url.host.find(':') != std::string::npos;
  return is_v6 ? absl::StrCat("[", url.host, "]:", url.port)
               : absl::StrCat(url.host, ":", url.port);
}

// The system's reason of all that OpenSSL noted, else OpenSSL's own.
std::string WhyNot() {
  std::string why = "no answer";
  while (const unsigned long code = ERR_get_error()) {
    if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
    if (const char* reason = ERR_reason_error_string(code)) why = reason;
  }
  return why;
}

absl::Status Unreachable(const BaseUrl& url, SSL* ssl) {
  std::string why = WhyNot();
  ERR_clear_error();
  const long verified = ssl == nullptr ? X509_V_OK : SSL_get_verify_result(ssl);
  if (verified != X509_V_OK) {
    why = absl::StrCat("its certificate is not trusted: ", X509_verify_cert_error_string(verified),
                       " (SSL_CERT_FILE names a file of certificates to trust)");
  }
  return absl::UnavailableError(absl::StrCat("can't reach ", Authority(url), ": ", why));
}

// Connects, and shakes hands where it is TLS; no single wait is longer than `wait_max`.
bool ConnectWithin(BIO* bio, absl::Duration wait_max) {
  BIO_set_nbio(bio, 1);
  while (BIO_do_connect(bio) <= 0) {
    if (!BIO_should_retry(bio)) return false;
    pollfd wait = {.fd = static_cast<int>(BIO_get_fd(bio, nullptr)),
                   .events = static_cast<short>(BIO_should_read(bio) ? POLLIN : POLLOUT),
                   .revents = 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(wait_max)));
    if (ready == 0 || (ready < 0 && errno != EINTR)) return false;
  }
  BIO_socket_nbio(static_cast<int>(BIO_get_fd(bio, nullptr)), 0);
  return true;
}

absl::StatusOr<UniqueBio> Connect(const BaseUrl& url, SSL_CTX* context,
                                  absl::Duration connect_max) {
  ERR_clear_error();
  SSL* ssl = nullptr;
  UniqueBio bio;
  if (context != nullptr) {
    bio.reset(BIO_new_ssl_connect(context));
    BIO_get_ssl(bio.get(), &ssl);
    SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), url.host.c_str()) != 1) {
      SSL_set_tlsext_host_name(ssl, url.host.c_str());
      SSL_set1_host(ssl, url.host.c_str());
    }
    BIO_set_conn_hostname(bio.get(), Authority(url).c_str());
  } else {
    bio.reset(BIO_new_connect(Authority(url).c_str()));
  }
  if (!ConnectWithin(bio.get(), connect_max)) return Unreachable(url, ssl);
  return bio;
}

void LimitSilence(BIO* bio, absl::Duration silence_max) {
  const timeval limit = absl::ToTimeval(silence_max);
  const int fd = static_cast<int>(BIO_get_fd(bio, nullptr));
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

std::string Format(const BaseUrl& url, const HttpClientRequest& request) {
  std::string text = absl::StrCat(request.method, " ", url.path, request.path,
                                  " HTTP/1.1\r\nHost: ", Authority(url),
                                  "\r\nConnection: close\r\nUser-Agent: spillway\r\n");
  for (const HttpHeader& header : request.headers) {
    absl::StrAppend(&text, header.name, ": ", header.value, "\r\n");
  }
  if (request.method != "GET") {
    absl::StrAppend(&text, "Content-Length: ", request.body.size(), "\r\n");
  }
  absl::StrAppend(&text, "\r\n", request.body);
  return text;
}

absl::Status WriteAll(BIO* bio, std::string_view bytes) {
  while (!bytes.empty()) {
    const int written = BIO_write(bio, bytes.data(), static_cast<int>(bytes.size()));
    if (written <= 0) {
      if (errno == EINTR) continue;
      return absl::UnavailableError("the server closed the connection while it was asked");
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// What is read, in the reply or given to the sink.
absl::Status Deliver(const ResponseReader& reader, const HttpClient::BodySink& sink,
                     std::string bytes, HttpReply& reply) {
  if (!reader.head_done()) return absl::OkStatus();
  reply.status = reader.status();
  reply.content_type = reader.Header("Content-Type").value_or("");
  if (sink == nullptr) {
    reply.body += bytes;
    return absl::OkStatus();
  }
  return bytes.empty() ? absl::OkStatus() : sink(reply, bytes);
}

}  // namespace

absl::StatusOr<BaseUrl> ParseBaseUrl(std::string_view url) {
  const auto wrong = [&url] {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::string_view(url.data(), url.size()),
                     "\" is no URL such as http://127.0.0.1:8080 or https://host/v1"));
  };
  BaseUrl out;
  std::string_view rest = url;
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  if (rest.substr(0, kTls.size()) == kTls) {
    out.tls = true;
    rest.remove_prefix(kTls.size());
  } else if (rest.substr(0, kPlain.size()) == kPlain) {
    rest.remove_prefix(kPlain.size());
  } else {
    return wrong();
  }
  for (const char c : rest) {
    if (c <= ' ' || c >= 0x7f || c == '@' || c == '?' || c == '#') return wrong();
  }
  const size_t slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  if (slash != std::string_view::npos) out.path = rest.substr(slash);
  while (!out.path.empty() && out.path.back() == '/') out.path.pop_back();
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string_view host = authority.substr(0, colon);
  if (!host.empty() && host.front() == '[') {
    if (bracket == std::string_view::npos || host.back() != ']') return wrong();
    host = host.substr(1, host.size() - 2);
  }
  out.host = host;
  out.port = out.tls ? "443" : "80";
  if (colon != std::string_view::npos) out.port = authority.substr(colon + 1);
  const bool port_ok = !out.port.empty() && out.port.size() <= 5 &&
                       out.port.find_first_not_of("0123456789") == std::string::npos;
  if (out.host.empty() || !port_ok) return wrong();
  return out;
}

absl::StatusOr<HttpReply> HttpClient::Ask(const HttpClientRequest& request, const BodySink& sink) {
  const TlsCredentials::Context context = url_.tls ? MakeTlsClientContext() : nullptr;
  ASSIGN_OR_RETURN(const UniqueBio bio, Connect(url_, context.get(), options_.connect_max));
  LimitSilence(bio.get(), options_.silence_max);
  RETURN_IF_ERROR(WriteAll(bio.get(), Format(url_, request)));
  ResponseReader reader(kAnswerLimits);
  HttpReply reply;
  std::array<char, kReadBytes> buffer;
  while (!reader.done()) {
    errno = 0;
    const int read = BIO_read(bio.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (read <= 0) {
      if (options_.stopped()) return absl::CancelledError("interrupted");
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return absl::DeadlineExceededError(absl::StrCat(
            "the server said nothing for ", absl::FormatDuration(options_.silence_max)));
      }
      RETURN_IF_ERROR(reader.End());
      break;
    }
    std::string bytes;
    RETURN_IF_ERROR(reader.Read(std::string_view(buffer.data(), static_cast<size_t>(read)), bytes));
    RETURN_IF_ERROR(Deliver(reader, sink, std::move(bytes), reply));
    if (options_.stopped()) return absl::CancelledError("interrupted");
  }
  return reply;
}

}  // namespace spillway
