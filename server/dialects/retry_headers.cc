#include "server/dialects/retry_headers.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "router/error_table.h"

namespace spillway {

void AddRetryAfter(absl::Duration retry_after, HttpResponse& response) {
  if (retry_after <= absl::ZeroDuration()) return;
  const double seconds = absl::ToDoubleSeconds(retry_after);
  response.headers.push_back({"Retry-After", absl::StrCat(std::llround(std::ceil(seconds)))});
  response.headers.push_back(
      {"retry-after-ms", absl::StrCat(std::llround(std::ceil(seconds * 1000)))});
}

void AddRetryHeaders(const GenerateError& error, HttpResponse& response) {
  const ErrorRow& row = FindErrorRow(error.status.code(), error.reason);
  if (row.client_may_retry) {
    AddRetryAfter(error.retry_after > absl::ZeroDuration() ? error.retry_after : row.retry_after,
                  response);
  } else if (response.status == 429 || response.status >= 500) {
    response.headers.push_back({"x-should-retry", "false"});
  }
}

}  // namespace spillway
