#include "server/dialects/billing_routes.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "router/token_account.h"
#include "router/token_quota.h"
#include "server/dialects/openai_error.h"

namespace spillway {
namespace {

constexpr int64_t kNanoPerHundredth = 10'000'000;
constexpr int64_t kDaysMax = 100;  // as OpenAI had it
// What one-api says of a token without a limit, and takes for one.
constexpr int64_t kNoLimit = 100'000'000;

// The value of a query's parameter; days hold nothing that is percent-encoded.
std::optional<std::string> Parameter(const std::string& query, std::string_view name) {
  for (const absl::string_view pair : absl::StrSplit(query, '&')) {
    const std::string_view text(pair.data(), pair.size());
    if (text.starts_with(name) && text.substr(name.size()).starts_with('=')) {
      return std::string(text.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

// `fallback` where it isn't said; nullopt: it is no day.
std::optional<int64_t> DayParameter(const std::string& query, std::string_view name,
                                    int64_t fallback) {
  const std::optional<std::string> text = Parameter(query, name);
  if (!text) return fallback;
  absl::Time day;
  std::string error;
  if (!absl::ParseTime("%Y-%m-%d", *text, absl::UTCTimeZone(), &day, &error)) return std::nullopt;
  return DayOf(day);
}

HttpResponse AnswerUsage(const HttpRequest& request, const Clock& clock,
                         const CostOfToken& cost_of) {
  const int64_t today = DayOf(clock.WallNow());
  const auto last = DayParameter(request.query, "end_date", today);
  const auto first = DayParameter(request.query, "start_date", today - kDaysMax + 1);
  if (!first || !last) {
    return ErrorResponse(InvalidRequest("start_date and end_date are days such as 2026-11-01",
                                        first ? "end_date" : "start_date"));
  }
  const int64_t nano = cost_of(TokenIdOf(request.account), *first, *last);
  return {.body = absl::StrFormat("{\"object\":\"list\",\"total_usage\":%d.%07d}",
                                  nano / kNanoPerHundredth, nano % kNanoPerHundredth)};
}

HttpResponse AnswerSubscription() {
  return {.body = absl::StrCat("{\"object\":\"billing_subscription\",\"has_payment_method\":true,"
                               "\"canceled\":false,\"access_until\":0,\"soft_limit_usd\":",
                               kNoLimit, ",\"hard_limit_usd\":", kNoLimit,
                               ",\"system_hard_limit_usd\":", kNoLimit, "}")};
}

}  // namespace

void AddBillingRoutes(RouteTable& routes, const Clock& clock, CostOfToken cost_of) {
  // one-api has them with and without /v1; clients whose base URL ends in /v1 add a second one.
  for (const std::string_view path : {"/v1/dashboard/billing/usage", "/dashboard/billing/usage",
                                      "/v1/v1/dashboard/billing/usage"}) {
    routes.Add({"GET", path, TokenRule::kAlways,
                [&clock, cost_of](HttpRequest& request,
                                  ResponseWriter& writer) -> std::unique_ptr<HttpOperation> {
                  writer.Send(AnswerUsage(request, clock, cost_of));
                  return nullptr;
                }});
  }
  for (const std::string_view path :
       {"/v1/dashboard/billing/subscription", "/dashboard/billing/subscription",
        "/v1/v1/dashboard/billing/subscription"}) {
    routes.Add({"GET", path, TokenRule::kAlways,
                [](HttpRequest&, ResponseWriter& writer) -> std::unique_ptr<HttpOperation> {
                  writer.Send(AnswerSubscription());
                  return nullptr;
                }});
  }
}

}  // namespace spillway
