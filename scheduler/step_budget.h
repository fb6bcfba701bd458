#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "scheduler/step_cost.h"
#include "scheduler/types.h"

namespace spillway {

// What is left of one step while its slices are cut: tokens, and time if anything decodes in it.
//
// Time: decodes take what they need; then the step may go on until SchedulerLimits::step_target.
// Where the decodes alone take longer than that, the target can't be met whatever a prefill does,
// and the step may take twice as long as they do. The first prefill gets a block in any case: it
// must get on.
//
// Pure; lives for the cutting of one step. `limits` and `cost` outlive it.
class StepBudget {
 public:
  StepBudget(const SchedulerLimits& limits, const StepCost& cost);

  // A slice was cut: a decode's token, or a prefill's [begin, begin + count). All decodes come
  // before the first prefill.
  void TakeDecode(int32_t begin);
  void TakeChunk(int32_t begin, int32_t count);

  // How many tokens a prefill may have that begins at `begin` and wants `wanted`; may be 0.
  int32_t ChunkMax(int32_t begin, int32_t wanted) const;

  bool empty() const { return tokens_left_ == 0; }
  // No prefill was cut so far.
  bool first() const { return first_; }
  const StepWork& work() const { return work_; }

 private:
  bool EndsInTime(int32_t begin, int32_t count) const;

  const SchedulerLimits& limits_;
  const StepCost& cost_;
  int32_t tokens_left_;
  bool first_ = true;
  StepWork work_;
  // Of this step; infinite while nothing decodes.
  absl::Duration time_max_ = absl::InfiniteDuration();
};

}  // namespace spillway
