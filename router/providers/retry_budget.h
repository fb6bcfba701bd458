#pragma once

#include <algorithm>
#include <cstdint>

namespace spillway {

struct RetryLimits {
  int32_t percent_of_requests = 10;
  int32_t retries_min = 10;  // may be had before any request has been counted; also the most saved
};

// Keeps retries from making an overload worse: of n requests at most
// retries_min + n × percent_of_requests / 100 are sent again, and after a quiet time no more than
// retries_min at once. Pure; not thread-safe.
class RetryBudget {
 public:
  explicit RetryBudget(const RetryLimits& limits)
      : limits_(limits), hundredths_(100 * int64_t{limits.retries_min}) {}

  // Of each request, not of its retries.
  void OnRequest() {
    hundredths_ =
        std::min(hundredths_ + limits_.percent_of_requests, 100 * int64_t{limits_.retries_min});
  }

  // False: it may not be sent again.
  bool TryRetry() {
    if (hundredths_ < 100) return false;
    hundredths_ -= 100;
    return true;
  }

 private:
  const RetryLimits limits_;
  int64_t hundredths_;  // of a retry
};

}  // namespace spillway
