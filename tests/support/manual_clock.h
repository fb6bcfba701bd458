#pragma once

#include "absl/time/time.h"
#include "common/clock.h"

namespace spillway {

// A clock that stands still until a test moves it. Not thread-safe.
class ManualClock : public Clock {
 public:
  absl::Time Now() const override { return now_; }
  absl::Time WallNow() const override { return wall_now_; }
  void Advance(absl::Duration by) {
    now_ += by;
    wall_now_ += by;
  }
  void JumpWall(absl::Duration by) { wall_now_ += by; }

 private:
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  absl::Time wall_now_ = absl::FromUnixSeconds(1'700'000'000);
};

}  // namespace spillway
