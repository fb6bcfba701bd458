#include "worker/hang_detector.h"

#include <algorithm>

namespace spillway {

std::optional<absl::Duration> HangDetector::Look(const EngineSign& sign, absl::Time now) {
  if (turn_ != sign.turn) {
    turn_ = sign.turn;
    waited_ = absl::ZeroDuration();
  } else {
    waited_ += std::min(now - looked_, 2 * tick_);
  }
  looked_ = now;
  if (waited_ <= sign.patience) return std::nullopt;
  return waited_;
}

}  // namespace spillway
