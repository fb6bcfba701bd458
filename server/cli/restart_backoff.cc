#include "server/cli/restart_backoff.h"

#include <algorithm>

namespace spillway {

absl::Duration RestartBackoff::DelayAfter(absl::Time started, absl::Time ended) {
  if (next_delay_ == absl::ZeroDuration() || ended - started >= policy_.stable_after) {
    next_delay_ = policy_.delay_min;
  }
  const absl::Duration delay = next_delay_;
  next_delay_ = std::min(policy_.delay_max, 2 * delay);
  return delay;
}

}  // namespace spillway
