#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace spillway {

// How much of something there was in the last 60 seconds, kept by whole seconds: what happened
// within one counts until 60 seconds after its end, so that no 60 seconds hold more than the total
// says. Never allocates. Time must not go back. Not thread-safe.
class SlidingMinute {
 public:
  // Of what is added at `now`.
  static int64_t SecondOf(absl::Time now) { return absl::ToUnixSeconds(now); }

  void Add(absl::Time now, int64_t amount);
  // What was added in `second` was more or less; nothing if it is over for long.
  void Correct(int64_t second, int64_t by, absl::Time now);
  int64_t Total(absl::Time now);
  // How long until the total is at most `limit` if nothing is added; zero if it is.
  absl::Duration UntilAtMost(int64_t limit, absl::Time now);

 private:
  static constexpr int64_t kSlots = 61;

  int64_t& At(int64_t second) { return amounts_[static_cast<size_t>(second % kSlots)]; }
  void Forget(absl::Time now);

  std::array<int64_t, kSlots> amounts_ = {};  // of second s at s % kSlots
  std::optional<int64_t> latest_;             // second
  int64_t total_ = 0;
};

}  // namespace spillway
