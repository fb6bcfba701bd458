#pragma once

#include "absl/time/time.h"
#include "scheduler/step_cost.h"

namespace spillway {

struct StepPatienceLimits {
  absl::Duration least = absl::Seconds(60);  // nothing hangs before
  // Nor before so many times what its work is predicted to take: where cores are given to others,
  // or memory is swapped out, a step is slow and not dead.
  double factor = 20;
  absl::Duration unmeasured_token = absl::Seconds(10);  // a token's, until a step was measured
};

// How long steps may take before their engine counts as hung: from what past ones took, so that a
// long chunk of a prompt on a slow machine is waited for as long as it needs. Pure.
class StepPatience {
 public:
  explicit StepPatience(const StepPatienceLimits& limits) : limits_(limits) {}

  void Observe(const StepWork& work, absl::Duration took) { cost_.Observe(work, took); }

  // Of one step, without `least`.
  absl::Duration For(const StepWork& work) const;
  absl::Duration least() const { return limits_.least; }

 private:
  const StepPatienceLimits limits_;
  StepCost cost_;
};

}  // namespace spillway
