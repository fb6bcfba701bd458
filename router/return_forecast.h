#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace spillway {

struct ReturnLimits {
  absl::Duration return_max = absl::Seconds(5);    // how long a lost replica is waited for
  absl::Duration stable_after = absl::Seconds(5);  // a process that ran less had a short run
  int32_t short_runs_max = 2;                      // in a row; so many are a crash loop
};

// Decides whether a replica that isn't ready is worth waiting for: one that was ready and was lost
// moments ago is, since its supervisor starts it again or its network comes back. One that has
// never been ready is not (nobody knows how long its model loads), nor is one that keeps dying soon
// after it comes up. A process that comes back after a break of the network has not died.
//
// Pure: time is an argument.
class ReturnForecast {
 public:
  ReturnForecast() = default;
  explicit ReturnForecast(const ReturnLimits& limits) : limits_(limits) {}

  // In turn, beginning with OnReady; a repetition changes nothing. `instance` names the process;
  // empty: each time another one.
  void OnReady(absl::Time now, std::string_view instance);
  void OnLost(absl::Time now);

  bool ExpectedBack(absl::Time now) const;

 private:
  ReturnLimits limits_;
  bool ready_ = false;
  std::string instance_;        // the last that was ready
  absl::Time began_;            // when it was first
  bool counted_short_ = false;  // its run is in short_runs_
  std::optional<absl::Time> lost_at_;
  int32_t short_runs_ = 0;  // in a row
};

}  // namespace spillway
