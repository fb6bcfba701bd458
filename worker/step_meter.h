#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace spillway {

// Moving averages of what steps cost, for people to look at: waits are predicted from StepCost
// (scheduler/wait_estimate.h).
//
// A step's time is shared out between its prefill and decode tokens by their number when it has
// both. Averages decay by 1/8 a step: quick to follow load, steady enough to predict with.
//
// Not thread-safe; owned by EngineLoop.
class StepMeter {
 public:
  struct Step {
    absl::Duration took;
    int32_t prefill_tokens = 0;
    int32_t decode_tokens = 0;
  };
  void Record(const Step& step);

  double step_ms() const { return step_ms_; }
  double prefill_tokens_per_s() const { return prefill_tokens_per_s_; }
  double decode_tokens_per_s() const { return decode_tokens_per_s_; }
  uint64_t steps() const { return steps_; }

 private:
  double step_ms_ = 0;
  double prefill_tokens_per_s_ = 0;
  double decode_tokens_per_s_ = 0;
  uint64_t steps_ = 0;
};

}  // namespace spillway
