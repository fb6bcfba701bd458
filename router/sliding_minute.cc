#include "router/sliding_minute.h"

#include <algorithm>
#include <utility>

namespace spillway {

void SlidingMinute::Add(absl::Time now, int64_t amount) {
  Forget(now);
  At(*latest_) += amount;
  total_ += amount;
}

void SlidingMinute::Correct(int64_t second, int64_t by, absl::Time now) {
  Forget(now);
  if (second <= *latest_ - kSlots || second > *latest_) return;
  At(second) += by;
  total_ += by;
}

int64_t SlidingMinute::Total(absl::Time now) {
  Forget(now);
  return total_;
}

absl::Duration SlidingMinute::UntilAtMost(int64_t limit, absl::Time now) {
  Forget(now);
  int64_t left = total_;
  for (int64_t second = *latest_ - kSlots + 1; second <= *latest_ && left > limit; ++second) {
    left -= At(second);
    if (left <= limit) return absl::FromUnixSeconds(second + kSlots) - now;
  }
  return absl::ZeroDuration();
}

// Those seconds that are over for a minute.
void SlidingMinute::Forget(absl::Time now) {
  const int64_t second = SecondOf(now);
  if (!latest_) latest_ = second;
  const int64_t passed = std::min(second - *latest_, kSlots);
  for (int64_t i = 1; i <= passed; ++i) total_ -= std::exchange(At(*latest_ + i), 0);
  latest_ = std::max(second, *latest_);
}

}  // namespace spillway
