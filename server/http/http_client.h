#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/http/http_types.h"

namespace spillway {

// Where a server is, and where its paths begin.
struct BaseUrl {
  bool tls = false;
  std::string host;
  std::string port;
  std::string path;  // without a slash at its end: "", "/v1"
};

// "https://host:8443/v1". INVALID_ARGUMENT: it is no http or https URL.
absl::StatusOr<BaseUrl> ParseBaseUrl(std::string_view url);

struct HttpClientRequest {
  std::string method = "GET";
  std::string path;  // as it follows the URL's: "/models"
  std::vector<HttpHeader> headers = {};
  std::string body = {};
};

struct HttpReply {
  int status = 0;
  std::string content_type;
  std::string body;  // but what a BodySink took
};

// Asks a server and waits: for commands, whose thread has nothing else to do. A connection for each
// request. Certificates are checked against the system's, or SSL_CERT_FILE's.
//
// Not thread-safe. The process must ignore SIGPIPE.
class HttpClient {
 public:
  struct Options {
    absl::Duration connect_max = absl::Seconds(30);  // of each wait while it connects
    absl::Duration silence_max = absl::Minutes(10);  // between two pieces of an answer
    // Asked when a signal comes: whether to give up.
    std::function<bool()> stopped = [] { return false; };
  };
  // Takes a body as it comes. An error ends the request with it.
  using BodySink = std::function<absl::Status(const HttpReply& reply, std::string_view bytes)>;

  HttpClient(BaseUrl url, Options options) : url_(std::move(url)), options_(std::move(options)) {}

  // A reply of any status. `sink` may be null.
  //   UNAVAILABLE        nobody answers there, or TLS fails
  //   DEADLINE_EXCEEDED  it fell silent
  //   DATA_LOSS          it broke off
  //   CANCELLED          stopped() said so
  //   INVALID_ARGUMENT   what answers doesn't speak HTTP
  absl::StatusOr<HttpReply> Ask(const HttpClientRequest& request, const BodySink& sink = nullptr);

  const BaseUrl& url() const { return url_; }

 private:
  const BaseUrl url_;
  const Options options_;
};

}  // namespace spillway
