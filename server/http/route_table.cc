#include "server/http/route_table.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/http/request_head.h"

namespace spillway {
namespace {

constexpr std::string_view kPreflightHeaders =
    "authorization, content-type, x-api-key, x-request-id, x-spillway-spill, anthropic-version, "
    "anthropic-beta, openai-organization, openai-project, openai-beta, x-stainless-lang, "
    "x-stainless-package-version, x-stainless-os, x-stainless-arch, x-stainless-runtime, "
    "x-stainless-runtime-version, x-stainless-retry-count, x-stainless-timeout, "
    "x-stainless-async, x-stainless-helper-method, x-stainless-poll-helper, "
    "x-stainless-custom-poll-interval";

bool PathMatches(const Route& route, std::string_view path) {
  if (!route.path.empty() && route.path.back() == '*') {
    const std::string_view prefix = route.path.substr(0, route.path.size() - 1);
    return path.size() > prefix.size() && path.substr(0, prefix.size()) == prefix;
  }
  return route.path == path;
}

bool MethodMatches(const Route& route, std::string_view method) {
  return route.method == method || (method == "HEAD" && route.method == "GET");
}

// A trailing slash names the same thing.
std::string_view WithoutTrailingSlash(std::string_view path) {
  return path.size() > 1 && path.back() == '/' ? path.substr(0, path.size() - 1) : path;
}

}  // namespace

std::optional<HttpResponse> RouteTable::Admit(HttpRequest& request) {
  if (request.method == "OPTIONS") {
    request.route = "options";
    return std::nullopt;
  }
  const Route* found = Find(request);
  request.route = found == nullptr ? "unknown" : found->path;
  return gate_(request, found == nullptr ? TokenRule::kAlways : found->token);
}

std::unique_ptr<HttpOperation> RouteTable::Handle(HttpRequest& request, ResponseWriter& writer) {
  const std::string_view path = WithoutTrailingSlash(request.path);
  if (request.method == "OPTIONS") {
    writer.Send(AnswerOptions(request));
    return nullptr;
  }
  const Route* found = Find(request);
  if (found != nullptr) {
    if (found->path.back() == '*') {
      request.path_rest = PercentDecode(path.substr(found->path.size() - 1));
    }
    return found->handler(request, writer);
  }
  if (const std::string allowed = AllowedMethods(path); !allowed.empty()) {
    HttpResponse response =
        ErrorFormatOf(path)(405, "method_not_allowed",
                            absl::StrCat(std::string(request.method), " is not possible on ",
                                         request.path, "; use ", allowed));
    response.headers.push_back({"Allow", allowed + ", OPTIONS"});
    writer.Send(std::move(response));
    return nullptr;
  }
  writer.Send(ErrorFormatOf(path)(
      404, "unknown_url",
      absl::StrCat("there is no ", request.path, " here; chat is at POST /v1/chat/completions")));
  return nullptr;
}

const Route* RouteTable::Find(const HttpRequest& request) const {
  const std::string_view path = WithoutTrailingSlash(request.path);
  for (const Route& route : routes_) {
    if (PathMatches(route, path) && MethodMatches(route, request.method)) return &route;
  }
  return nullptr;
}

const ErrorFormat& RouteTable::ErrorFormatOf(std::string_view path) const {
  for (const auto& [prefix, format] : error_formats_) {
    if (path.starts_with(prefix)) return format;
  }
  return format_error_;
}

HttpResponse RouteTable::ConnectionError(int status, std::string_view message) const {
  return format_error_(status, "bad_request", message);
}

HttpResponse RouteTable::AnswerOptions(const HttpRequest& request) const {
  std::string allowed = AllowedMethods(WithoutTrailingSlash(request.path));
  if (allowed.empty()) allowed = "GET, POST";
  HttpResponse response;
  response.status = 204;
  response.content_type.clear();
  response.headers = {{"Allow", allowed + ", OPTIONS"},
                      {"Access-Control-Allow-Methods", allowed + ", OPTIONS"},
                      {"Access-Control-Allow-Headers", std::string(kPreflightHeaders)},
                      {"Access-Control-Max-Age", "600"}};
  return response;
}

std::string RouteTable::AllowedMethods(std::string_view path) const {
  std::string allowed;
  for (const Route& route : routes_) {
    if (!PathMatches(route, path)) continue;
    absl::StrAppend(&allowed, allowed.empty() ? "" : ", ", std::string(route.method));
    if (route.method == "GET") allowed += ", HEAD";
  }
  return allowed;
}

}  // namespace spillway
