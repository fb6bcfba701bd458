#include "scheduler/admission.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

namespace spillway {
namespace {

// What of this step's budget is spoken for when `candidate` gets its turn, and what it needs.
struct BudgetAhead {
  int32_t tokens = 0;
  int32_t needed = 1;
};

// Ahead are all decodes, and the prefills that go before it. Behind a prefill it takes a whole
// block or nothing, or all of the candidate if that is less (step_planner.cc cuts chunks so).
BudgetAhead BudgetAheadOf(const SchedulerState& state, const Sequence& candidate) {
  BudgetAhead ahead;
  for (const Sequence* running : state.running) {
    const int32_t wanted = running->tokens_to_plan();
    if (wanted > 1) {
      if (!GoesBefore(*running, candidate)) continue;
      ahead.needed = std::min(state.limits.block_tokens, candidate.known());
    }
    ahead.tokens += std::min(wanted, state.limits.step_tokens_max);
  }
  return ahead;
}

// How many of the last running sequences must go so that `candidate` can start; nullopt when even
// all that have lower priority would not do.
std::optional<int32_t> VictimsFor(SchedulerState& state, const Sequence& candidate) {
  BudgetAhead ahead = BudgetAheadOf(state, candidate);
  const std::span<const BlockId> match = state.cache.Match(candidate.tokens, candidate.cache_salt);
  const int32_t blocks_needed = state.cache.FreeBlocksNeeded(match, candidate.known());
  int32_t free_blocks = state.cache.free_count();
  for (auto staying = static_cast<int32_t>(state.running.size());; --staying) {
    if (staying < state.running_limit && free_blocks >= blocks_needed + staying &&
        ahead.tokens + ahead.needed <= state.limits.step_tokens_max) {
      return static_cast<int32_t>(state.running.size()) - staying;
    }
    if (staying == 0) return std::nullopt;
    const Sequence& victim = *state.running[static_cast<size_t>(staying) - 1];
    if (victim.priority >= candidate.priority) return std::nullopt;
    // Blocks that victims share with one another alone are not counted: rather too careful.
    free_blocks += state.cache.SoleBlocks(victim.table, match);
    if (victim.tokens_to_plan() == 1) --ahead.tokens;
  }
}

}  // namespace

void StartWaiting(SchedulerState& state, absl::Time now, StepPlan& plan) {
  const auto cached_tokens = [&state](const Sequence& sequence) {
    const auto match = state.cache.Match(sequence.tokens, sequence.cache_salt);
    return static_cast<int32_t>(match.size()) * state.limits.block_tokens;
  };
  // Where nobody could start, nobody's prefix is looked up: a full device pays nothing for a long
  // queue. Who starts needs a slot, at least one block, and the spare ones.
  const auto nobody_can_start = [&state] {
    const auto running = static_cast<int32_t>(state.running.size());
    const bool full = running == state.running_limit || state.cache.free_count() <= running;
    return running > 0 && full &&
           state.running.back()->priority >= state.waiting.sequences().front()->priority;
  };
  while (state.waiting.size() > 0 && !nobody_can_start()) {
    Sequence& candidate = *state.waiting.Next(now, cached_tokens);
    // A sample in flight must come first: its row reads the token from the slot that it was
    // sampled in. And what this plan preempts, it doesn't start again.
    if (candidate.samples_pending > 0 || candidate.preempted_in_plan == state.plans_made) return;
    const std::optional<int32_t> victims = VictimsFor(state, candidate);
    if (!victims.has_value()) return;
    for (int32_t i = 0; i < *victims; ++i) state.Preempt(*state.running.back(), plan);
    const std::optional<SlotId> slot = state.slots.Take();
    if (!slot.has_value()) return;  // Its last rows are still in flight: the next plan has it.
    state.Start(candidate, *slot, plan);
  }
}

}  // namespace spillway
