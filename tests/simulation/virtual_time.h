#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"

namespace spillway {

// Time that passes when the simulation says so, what is to happen when, and chance. Equal times in
// the order of the calls: a seed gives one run.
class VirtualTime : public Clock {
 public:
  explicit VirtualTime(uint64_t seed) : random_(seed) {}

  absl::Time Now() const override { return now_; }
  absl::Time WallNow() const override { return now_ + wall_offset_; }
  // Somebody sets the machine's clock.
  void JumpWall(absl::Duration by) { wall_offset_ += by; }

  void After(absl::Duration delay, std::function<void()> what) {
    pending_.push({now_ + delay, ++last_number_, std::move(what)});
  }
  void RunUntil(absl::Time end) {
    while (!pending_.empty() && pending_.top().when <= end) {
      Event next = pending_.top();
      pending_.pop();
      now_ = next.when;
      next.what();
    }
    now_ = end;
  }

  // Uniform, both ends included.
  int32_t Between(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  absl::Duration MillisecondsBetween(int32_t low, int32_t high) {
    return absl::Milliseconds(Between(low, high));
  }
  bool Percent(int32_t percent) { return Between(1, 100) <= percent; }
  uint64_t Draw() { return random_(); }

 private:
  struct Event {
    absl::Time when;
    uint64_t number = 0;
    std::function<void()> what;

    // A priority_queue has its greatest on top.
    friend bool operator<(const Event& a, const Event& b) {
      return a.when != b.when ? a.when > b.when : a.number > b.number;
    }
  };

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  absl::Duration wall_offset_;
  uint64_t last_number_ = 0;
  std::priority_queue<Event> pending_;
  std::mt19937_64 random_;
};

}  // namespace spillway
