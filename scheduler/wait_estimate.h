#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace spillway {

struct SchedulerState;

// How long a sequence that comes now would wait before its prefill begins, and how much longer for
// what comes before it. All zero before anything was measured.
struct WaitEstimate {
  absl::Duration wait;
  absl::Duration per_prompt_token;
  absl::Duration per_sequence;  // where all places are taken
};

// What sequences are like, from those that were: moving averages over about the last 64. Nobody
// knows how long an answer will be, but they don't change from one minute to the next.
class SequenceAverages {
 public:
  // `cached_tokens` of its prompt came from the prefix cache.
  void OnStarted(int32_t prompt_tokens, int32_t cached_tokens);
  // By whatever reason, after it had started.
  void OnEnded(int32_t output_tokens);

  // Assumptions before there was one.
  double prompt_tokens() const { return prompt_tokens_; }
  double output_tokens() const { return output_tokens_; }
  double computed_share() const { return computed_tokens_ / prompt_tokens_; }  // of prompts

 private:
  double prompt_tokens_ = 512;
  double computed_tokens_ = 512;
  double output_tokens_ = 128;
  bool any_started_ = false;
  bool any_ended_ = false;
};

// The device does its work at the speed that StepCost knows, and a newcomer begins when what goes
// before it is done, as if it flowed:
//
//   prefill  all tokens of prompts that run or wait, in chunks as StepBudget cuts them, beside the
//            decodes; the newcomer begins in the step whose budget they leave over.
//   ends     of as many sequences as places are missing to run, or as give back the KV blocks that
//            are missing. Where all places are taken, one sequence ends for each average output
//            that the decodes compute together (Little's law).
//
// Both go on at the same time: what the steps with prefill bring on decodes counts.
// tests/simulation/wait_estimate_simulation_test.cc holds it against traces of real chats.
//
// Pure. A walk over the running sequences.
WaitEstimate EstimateWait(const SchedulerState& state);

}  // namespace spillway
