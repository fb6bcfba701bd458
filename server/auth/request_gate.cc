#include "server/auth/request_gate.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "router/token_account.h"
#include "server/auth/eas_signature.h"
#include "server/auth/token.h"

namespace spillway {
namespace {

constexpr std::string_view kEasScheme = "EAS ";

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

bool CameThroughProxy(const HttpRequest& request) {
  for (const char* name : {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"}) {
    if (request.Header(name)) return true;
  }
  return false;
}

// "localhost:8080", "127.0.0.1", "[::1]:80"
bool NamesThisMachine(std::string_view host) {
  if (!host.empty() && host.front() == '[') {
    const size_t end = host.find(']');
    return host.substr(0, end) == "[::1";
  }
  host = host.substr(0, host.find(':'));
  if (absl::EqualsIgnoreCase(ToAbsl(host), "localhost")) return true;
  // Digits and dots only: "127.evil.example" is a name like any other.
  return host.substr(0, 4) == "127." &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

std::string_view HostOfOrigin(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? origin : origin.substr(scheme + 3);
}

// Why a listener without tokens doesn't take it.
std::optional<std::string_view> WhyNotOpen(const HttpRequest& request) {
  if (CameThroughProxy(request) && (request.listener.loopback || !request.from_trusted_proxy)) {
    return "this listener has no token and takes no requests through a proxy; serve with a token";
  }
  if (!request.listener.loopback) return std::nullopt;
  const std::optional<std::string_view> host = request.Header("Host");
  if (host && !NamesThisMachine(*host)) {
    return "this listener has no token and answers only to localhost; serve with a token";
  }
  const std::optional<std::string_view> origin = request.Header("Origin");
  if (origin && !NamesThisMachine(HostOfOrigin(*origin))) {
    return "this listener has no token and takes no requests from other sites' pages; serve with a "
           "token";
  }
  return std::nullopt;
}

bool TokenNeeded(const HttpRequest& request, TokenRule rule) {
  switch (rule) {
    case TokenRule::kNever:
      return false;
    case TokenRule::kUnlessLoopback:
      return !request.listener.loopback || CameThroughProxy(request);
    case TokenRule::kAlways:
      return true;
  }
  return true;
}

HttpResponse Unauthorized(const Authenticator& authenticator, std::string_view token,
                          const ErrorFormat& format_error) {
  std::string_view message =
      "Incorrect API key provided: this token is misspelt, revoked or another server's";
  if (token.empty()) message = "a token is needed: send the header Authorization: Bearer TOKEN";
  if (authenticator.empty()) {
    message = "this server has no tokens yet: make one with \"spillway token create NAME\"";
  }
  HttpResponse refusal = format_error(401, "invalid_api_key", message);
  refusal.headers.push_back({"WWW-Authenticate", "Bearer"});
  return refusal;
}

HttpResponse TooManyFailures(absl::Duration wait, const ErrorFormat& format_error) {
  HttpResponse refusal =
      format_error(429, "too_many_invalid_tokens",
                   "too many invalid tokens came from your address; wait before the next try");
  refusal.headers.push_back(
      {"Retry-After", absl::StrCat(absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1))))});
  // The same token won't be right later.
  refusal.headers.push_back({"x-should-retry", "false"});
  return refusal;
}

// A token that is right, but too old, or in the wrong place.
std::optional<HttpResponse> WhyNotThisOne(const Tenant& tenant, const IpAddress& client,
                                          absl::Time wall, const ErrorFormat& format_error) {
  if (tenant.expires && wall >= *tenant.expires) {
    return format_error(
        401, "invalid_api_key",
        absl::StrCat("this token was valid until ",
                     absl::FormatTime("%Y-%m-%d %H:%M UTC", *tenant.expires, absl::UTCTimeZone()),
                     "; ask for a new one"));
  }
  if (tenant.networks != nullptr && !IsInAny(client, *tenant.networks)) {
    return format_error(
        403, "network_not_allowed",
        absl::StrCat("token \"", tenant.token_name, "\" may not be used from ", client.ToString()));
  }
  return std::nullopt;
}

void AddRateLimitHeaders(const QuotaView& view, std::vector<HttpHeader>& headers) {
  const auto add = [&headers](const char* what, const std::optional<QuotaWindow>& window) {
    if (!window) return;
    headers.push_back({absl::StrCat("x-ratelimit-limit-", what), absl::StrCat(window->limit)});
    headers.push_back(
        {absl::StrCat("x-ratelimit-remaining-", what), absl::StrCat(window->remaining)});
    headers.push_back({absl::StrCat("x-ratelimit-reset-", what), FormatReset(window->reset)});
  };
  add("requests", view.requests);
  add("tokens", view.tokens);
}

void TellOfFailures(const HttpRequest& request) {
  const bool behind_proxy = CameThroughProxy(request) && !request.from_trusted_proxy;
  LogWarning(absl::StrCat("too many invalid tokens from ", request.client_address,
                          ": unknown tokens from there wait now",
                          behind_proxy ? "; it looks like a proxy: name it with --trusted-proxy, "
                                         "so that its clients are told apart"
                                       : ""));
}

}  // namespace

std::string_view TokenOf(const HttpRequest& request) {
  std::string_view token;
  if (const auto authorization = request.Header("Authorization")) {
    token = *authorization;
    constexpr std::string_view kScheme = "Bearer ";
    if (absl::StartsWithIgnoreCase(ToAbsl(token), ToAbsl(kScheme))) {
      token.remove_prefix(kScheme.size());
    }
  }
  if (token.empty()) token = request.Header("x-api-key").value_or("");
  while (!token.empty() && token.front() == ' ') token.remove_prefix(1);
  return token;
}

namespace {

// What an SDK of PAI-EAS may have signed: Java's signs the query, too, the others don't.
std::vector<std::string> EasSignedTexts(const HttpRequest& request) {
  const std::string& path = request.service.empty() ? request.path : request.path_of_service;
  std::vector<std::string> texts;
  for (const std::string& signed_path : {path, absl::StrCat(path, "?", request.query)}) {
    texts.push_back(EasSignedText(request.method, request.Header("Content-MD5").value_or(""),
                                  request.Header("Content-Type").value_or(""),
                                  request.Header("Date").value_or(""), signed_path));
    if (request.query.empty()) break;
  }
  return texts;
}

std::optional<Tenant> TenantOf(const Authenticator& authenticator, const HttpRequest& request,
                               std::string_view token) {
  if (!token.starts_with(kEasScheme)) return authenticator.Check(token);
  return authenticator.CheckEasSignature(token.substr(kEasScheme.size()), EasSignedTexts(request));
}

}  // namespace

RequestGate MakeRequestGate(const Authenticator& authenticator, FailureLimiter& failures,
                            const Clock& clock, ErrorFormat format_error) {
  return [&authenticator, &failures, &clock, format_error = std::move(format_error)](
             HttpRequest& request, TokenRule rule) -> std::optional<HttpResponse> {
    if (!request.listener.token_required) {
      request.tenant = "local";
      if (rule == TokenRule::kNever) return std::nullopt;
      const std::optional<std::string_view> why = WhyNotOpen(request);
      if (!why) return std::nullopt;
      return format_error(403, "not_local", *why);
    }
    if (!TokenNeeded(request, rule)) return std::nullopt;
    const std::string_view token = TokenOf(request);
    if (token.empty()) return Unauthorized(authenticator, token, format_error);
    const IpAddress client = ParseIpAddress(request.client_address).value_or(IpAddress());
    const std::string digest = Sha256Hex(token);
    const absl::Duration wait = failures.WaitBefore(client, digest, clock.Now());
    if (wait > absl::ZeroDuration()) return TooManyFailures(wait, format_error);
    if (std::optional<Tenant> tenant = TenantOf(authenticator, request, token)) {
      failures.OnSuccess(client, digest, clock.Now());
      if (auto refusal = WhyNotThisOne(*tenant, client, clock.WallNow(), format_error)) {
        return refusal;
      }
      request.tenant = std::move(tenant->name);
      request.token_name = std::move(tenant->token_name);
      if (tenant->account->has_rates()) {
        request.add_headers = [account = tenant->account](std::vector<HttpHeader>& headers) {
          AddRateLimitHeaders(account->View(), headers);
        };
      }
      request.account = std::move(tenant->account);
      return std::nullopt;
    }
    if (failures.OnFailure(client, clock.Now())) TellOfFailures(request);
    return Unauthorized(authenticator, token, format_error);
  };
}

}  // namespace spillway
