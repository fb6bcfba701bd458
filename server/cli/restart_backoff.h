#pragma once

#include "absl/time/time.h"

namespace spillway {

struct RestartPolicy {
  absl::Duration delay_min = absl::Milliseconds(100);
  absl::Duration delay_max = absl::Seconds(10);
  absl::Duration stable_after = absl::Seconds(30);  // a run this long forgives all before it
};

// Decides how long to wait before a process that ended is started again: the shortest delay first,
// doubled each time up to the longest. Pure: time is an argument.
class RestartBackoff {
 public:
  explicit RestartBackoff(const RestartPolicy& policy) : policy_(policy) {}

  absl::Duration DelayAfter(absl::Time started, absl::Time ended);

 private:
  const RestartPolicy policy_;
  absl::Duration next_delay_ = absl::ZeroDuration();  // zero: delay_min
};

}  // namespace spillway
