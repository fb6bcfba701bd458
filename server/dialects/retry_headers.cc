#include "server/dialects/retry_headers.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "router/error_table.h"

namespace spillway {
namespace {

// Beyond it SDKs give up or hang; openai-python waits up to 60 s, others for less.
constexpr absl::Duration kWorthWaiting = absl::Seconds(60);

}  // namespace

void AddRetryAfter(absl::Duration retry_after, HttpResponse& response) {
  if (retry_after <= absl::ZeroDuration()) return;
  const double seconds = absl::ToDoubleSeconds(retry_after);
  response.headers.push_back({"Retry-After", absl::StrCat(std::llround(std::ceil(seconds)))});
  response.headers.push_back(
      {"retry-after-ms", absl::StrCat(std::llround(std::ceil(seconds * 1000)))});
}

RetryAdvice AdviseRetry(const GenerateError& error) {
  const ErrorRow& row = FindErrorRow(error.status.code(), error.reason);
  const bool known = error.retry_after > absl::ZeroDuration();
  if (!row.client_may_retry) {
    return {.after = known ? error.retry_after : absl::ZeroDuration(), .vain = true};
  }
  const absl::Duration after = known ? error.retry_after : row.retry_after;
  return {.after = after, .vain = after > kWorthWaiting};
}

void AddRetryHeaders(const GenerateError& error, HttpResponse& response) {
  response.eas_status = FindErrorRow(error.status.code(), error.reason).eas_http_status;
  const RetryAdvice advice = AdviseRetry(error);
  AddRetryAfter(advice.after, response);
  if (advice.vain && (response.status == 429 || response.status >= 500)) {
    response.headers.push_back({"x-should-retry", "false"});
  }
}

}  // namespace spillway
