#pragma once

#include "absl/time/time.h"

namespace spillway {

// The only source of time. `scheduler/` and `router/` policies take `now` as an argument;
// only loops that wait own a Clock. Tests use tests/support/manual_clock.h.
//
// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Monotonic time: all policies, deadlines and durations. Its zero is arbitrary, so only
  // differences mean something; never send it to another process.
  virtual absl::Time Now() const = 0;

  // The calendar: logs, token expiry, daily budgets. It may jump either way.
  virtual absl::Time WallNow() const = 0;
};

// The machine's clocks.
class SystemClock : public Clock {
 public:
  absl::Time Now() const override;
  absl::Time WallNow() const override;
};

}  // namespace spillway
