#include "scheduler/wait_estimate.h"

#include <algorithm>
#include <cmath>

#include "scheduler/scheduler_state.h"
#include "scheduler/step_budget.h"

namespace spillway {
namespace {

constexpr double kDecay = 1.0 / 64;

void Follow(double& average, double value, bool& any) {
  average = any ? average + kDecay * (value - average) : value;
  any = true;
}

// Prompt tokens that are to be computed before a newcomer's.
struct PrefillAhead {
  double tokens = 0;
  double context_tokens = 0;  // that they attend to, in sum

  // Tokens [begin, end) of `sequences`' prompts.
  void Add(double begin, double end) {
    tokens += end - begin;
    context_tokens += (end - begin) * (begin + end) / 2;
  }
  int32_t mean_context() const {
    return tokens > 0 ? static_cast<int32_t>(context_tokens / tokens) : 0;
  }
};

// How many sequences must end before the newcomer has a place and blocks.
double EndsNeeded(const SchedulerState& state) {
  const auto running = static_cast<double>(state.running.size());
  const double before = running + state.waiting.size();
  const double places_missing = before + 1 - state.running_limit;
  // One block a running sequence stays spare (admission.h). Decodes grow on what those that end
  // give back, all but as much as their prompts had.
  const double prompt_blocks = state.averages.prompt_tokens() / state.limits.block_tokens;
  const double blocks_missing =
      static_cast<double>(state.waiting.tokens()) / state.limits.block_tokens + prompt_blocks +
      running - state.cache.free_count();
  return std::max({0.0, places_missing, blocks_missing / std::max(prompt_blocks, 1.0)});
}

}  // namespace

void SequenceAverages::OnStarted(int32_t prompt_tokens, int32_t cached_tokens) {
  bool any = any_started_;
  Follow(prompt_tokens_, prompt_tokens, any);
  Follow(computed_tokens_, prompt_tokens - cached_tokens, any_started_);
}

void SequenceAverages::OnEnded(int32_t output_tokens) {
  Follow(output_tokens_, output_tokens, any_ended_);
}

WaitEstimate EstimateWait(const SchedulerState& state) {
  const StepCost& cost = state.cost;
  StepBudget budget(state.limits, cost);
  PrefillAhead prefill;
  for (const Sequence* sequence : state.running) {
    const int32_t wanted = sequence->tokens_to_plan();
    if (wanted == 1) budget.TakeDecode(sequence->planned_end);
    if (wanted > 1) prefill.Add(sequence->planned_end, sequence->length());
  }
  // Of each waiting prompt the last part is computed, behind what is cached.
  const double computed = state.averages.computed_share();
  prefill.tokens += computed * static_cast<double>(state.waiting.tokens());
  prefill.context_tokens += computed * (1 - computed / 2) * state.waiting.squared_tokens();

  // One step with a chunk of prefill, and one without, beside the decodes that there are.
  const StepWork decodes = budget.work();
  const int32_t context = prefill.mean_context();
  const int32_t chunk = std::max(1, budget.ChunkMax(context, state.limits.step_tokens_max));
  StepWork mixed = decodes;
  mixed.Add(context, chunk);
  const absl::Duration mixed_time = cost.Expect(mixed);
  const double chunks = std::floor(prefill.tokens / chunk);

  WaitEstimate estimate = {.per_prompt_token = mixed_time / chunk};
  // Whoever comes while a step runs waits for its end: on average, half of it.
  if (state.plans_in_flight > 0) estimate.wait += cost.Expect(state.work_in_flight.front()) / 2;
  estimate.wait += chunks * mixed_time;
  if (decodes.rows > 0) {
    const auto rows = static_cast<double>(decodes.rows);
    const double steps_per_end = state.averages.output_tokens() / rows;
    const absl::Duration decode_time = cost.Expect(decodes);
    estimate.per_sequence = steps_per_end * decode_time;
    const double steps = EndsNeeded(state) * steps_per_end;
    estimate.wait += std::max(0.0, steps - chunks) * decode_time;
  }
  return estimate;
}

}  // namespace spillway
