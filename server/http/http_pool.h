#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/http/http_client.h"
#include "server/http/http_limits.h"
#include "server/http/response_reader.h"
#include "server/http/tls_credentials.h"

namespace boost::asio {
class io_context;
}

namespace spillway {

struct HttpPoolLimits {
  int32_t connections_max = 512;  // open, or being opened; what comes then waits
  int32_t waiting_max = 1024;     // exchanges without a connection; then RESOURCE_EXHAUSTED
  absl::Duration wait_max = absl::Seconds(10);     // for one; then UNAVAILABLE
  absl::Duration connect_max = absl::Seconds(10);  // the name, the connection and TLS together
  absl::Duration silence_max = absl::Minutes(10);  // between two bytes of an exchange
  absl::Duration idle_time = absl::Seconds(30);    // kept open without an exchange
  size_t let_go_bytes_max = 4u << 10;              // read behind what was wanted; then closed
  absl::Duration let_go_time = absl::Seconds(1);   // likewise
  HttpLimits answer = {.head_bytes_max = 64u << 10, .body_bytes_max = size_t{1} << 30};
};

struct HttpPoolOptions {
  BaseUrl url;
  // Of every request; where a key has to be said it is here, and nowhere else.
  std::vector<HttpHeader> headers;
  HttpPoolLimits limits;
  TlsCredentials::Context tls;  // MakeTlsClientContext(); null where `url` isn't https
};

// Hears of one exchange: OnHead, OnBody…, OnEnd; or at any point instead OnBroken. It may destroy
// the exchange in any of these calls. None comes from
// within a call to the pool or the exchange.
class ExchangeSink {
 public:
  virtual ~ExchangeSink() = default;
  // The final answer's; `head` is valid during the call.
  virtual void OnHead(const ResponseReader& head) = 0;
  // Of the body, without HTTP's framing; never empty.
  virtual void OnBody(std::string_view bytes) = 0;
  // The body is whole, as HTTP has it.
  virtual void OnEnd() = 0;
  //   UNAVAILABLE         nobody answers there, TLS fails, or it waited too long for a connection:
  //                       nothing of the request was sent
  //   RESOURCE_EXHAUSTED  too many wait already: likewise
  //   DEADLINE_EXCEEDED   it fell silent
  //   DATA_LOSS           it broke off
  //   INVALID_ARGUMENT    what answers doesn't speak HTTP
  virtual void OnBroken(const absl::Status& why) = 0;
};

// A request under way. Destroying it ends it at once, and the connection with it if the answer
// isn't complete.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  // Nothing is read until Resume(), so that the server has to wait, too: for whoever passes the
  // answer on to somebody slower. Time stands still for silence_max.
  virtual void Pause() = 0;
  virtual void Resume() = 0;
  // Its caller has all that it wants, such as the last event of a stream: the sink hears nothing
  // more, and the little that is left is read away, so that the connection can be kept. The
  // exchange may be destroyed then.
  virtual void LetGo() = 0;
};

// Requests to one server over connections that are kept open (HTTP/1.1), all on one thread without
// blocking it. Names are resolved by a thread of Asio's.
//
// A connection that was used before and breaks before a byte of an answer has come was closed while
// the request was on its way (RFC 9112 section 9.3.1): it is sent once more, over a new one.
//
// Threading: the thread of its io_context. Exchanges may outlive it, and then hear nothing more.
class HttpPool {
 public:
  virtual ~HttpPool() = default;

  // `path` follows the URL's. The body is JSON; without one it is a GET. `sink` must outlive the
  // exchange.
  virtual std::unique_ptr<HttpExchange> Begin(std::string_view path, std::string_view body,
                                              ExchangeSink& sink) = 0;

  // Ends all connections; no sink hears of it, nor of anything else from now on.
  virtual void Close() = 0;

  virtual size_t connections() const = 0;
  virtual size_t idle_connections() const = 0;
  virtual size_t waiting() const = 0;
};

// `context` and `clock` outlive it.
std::unique_ptr<HttpPool> MakeHttpPool(boost::asio::io_context& context, HttpPoolOptions options,
                                       const Clock& clock);

}  // namespace spillway
