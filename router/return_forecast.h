#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace spillway {

struct ReturnLimits {
  absl::Duration return_max = absl::Seconds(5);    // how long a lost replica is waited for
  absl::Duration stable_after = absl::Seconds(5);  // a run shorter than this is a short one
  int32_t short_runs_max = 2;                      // in a row; so many are a crash loop
};

// Decides whether a replica that isn't ready is worth waiting for: one that was ready and was lost
// moments ago is, since its supervisor starts it again or its network comes back. One that has
// never been ready is not (nobody knows how long its model loads), nor is one that keeps dying soon
// after it comes up.
//
// Pure: time is an argument.
class ReturnForecast {
 public:
  ReturnForecast() = default;
  explicit ReturnForecast(const ReturnLimits& limits) : limits_(limits) {}

  // In turn, beginning with OnReady; a repetition changes nothing.
  void OnReady(absl::Time now);
  void OnLost(absl::Time now);

  bool ExpectedBack(absl::Time now) const;

 private:
  ReturnLimits limits_;
  std::optional<absl::Time> ready_since_;
  std::optional<absl::Time> lost_at_;
  int32_t short_runs_ = 0;  // in a row
};

}  // namespace spillway
