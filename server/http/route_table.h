#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http/http_types.h"

namespace spillway {

enum class TokenRule {
  kNever,           // probes
  kUnlessLoopback,  // what only this machine's people see without a token
  kAlways,          // where the listener asks for tokens at all
};

struct Route {
  std::string_view method;  // "GET" also answers HEAD
  std::string_view path;    // "/v1/models"; a trailing '*' matches any rest: "/v1/models/*"
  TokenRule token = TokenRule::kAlways;
  std::function<std::unique_ptr<HttpOperation>(HttpRequest&, ResponseWriter&)> handler;
};

// Decides who may go on: nullopt, with request.tenant set, or the refusal.
using RequestGate = std::function<std::optional<HttpResponse>(HttpRequest&, TokenRule)>;
// An error in the shape that clients of this server read. `code` is a fixed word.
using ErrorFormat =
    std::function<HttpResponse(int status, std::string_view code, std::string_view message)>;

// Sends each request to the route that it names. Unknown paths are 404, known paths with another
// method 405 with Allow; OPTIONS is answered for every path. The gate comes first, so that a
// stranger can't learn which paths exist.
//
// Routes' strings must live for ever. One per server thread; not thread-safe.
class RouteTable : public HttpHandler {
 public:
  RouteTable(RequestGate gate, ErrorFormat format_error)
      : gate_(std::move(gate)), format_error_(std::move(format_error)) {}

  void Add(Route route) { routes_.push_back(std::move(route)); }
  // Errors of paths that begin with `prefix` get this shape instead.
  void AddErrorFormat(std::string_view prefix, ErrorFormat format) {
    error_formats_.emplace_back(prefix, std::move(format));
  }

  std::optional<HttpResponse> Admit(HttpRequest& request) override;
  std::unique_ptr<HttpOperation> Handle(HttpRequest& request, ResponseWriter& writer) override;
  HttpResponse ConnectionError(int status, std::string_view message) const override;

 private:
  const Route* Find(const HttpRequest& request) const;
  HttpResponse AnswerOptions(const HttpRequest& request) const;
  std::string AllowedMethods(std::string_view path) const;

  const RequestGate gate_;
  const ErrorFormat& ErrorFormatOf(std::string_view path) const;

  const ErrorFormat format_error_;
  std::vector<std::pair<std::string_view, ErrorFormat>> error_formats_;
  std::vector<Route> routes_;
};

}  // namespace spillway
