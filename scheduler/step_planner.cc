#include "scheduler/step_planner.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/admission.h"
#include "scheduler/step_budget.h"

namespace spillway {
namespace {

// Forgets those of `sequences` whose deadline has passed; keeps the least deadline of the others.
void ExpireAmong(SchedulerState& state, const std::vector<Sequence*>& sequences, absl::Time now,
                 StepPlan& plan) {
  for (size_t i = 0; i < sequences.size();) {
    Sequence& sequence = *sequences[i];
    if (sequence.deadline < now) {
      plan.expired.push_back(sequence.id);
      state.Forget(sequence);  // Takes it out of `sequences`.
    } else {
      state.deadline_min = std::min(state.deadline_min, sequence.deadline);
      ++i;
    }
  }
}

void Expire(SchedulerState& state, absl::Time now, StepPlan& plan) {
  if (state.deadline_min >= now) return;
  state.deadline_min = absl::InfiniteFuture();
  ExpireAmong(state, state.running, now, plan);
  ExpireAmong(state, state.waiting.sequences(), now, plan);
}

void CatchUpPrefills(SchedulerState& state) {
  for (Sequence* sequence : state.running) {
    if (sequence->tokens_to_plan() <= 1) continue;
    const int32_t end = state.cache.CatchUp(sequence->tokens, sequence->cache_salt,
                                            sequence->planned_end, sequence->table);
    if (sequence->run == 1) {
      state.prefix_hit_tokens += static_cast<uint64_t>(end - sequence->planned_end);
    }
    sequence->planned_end = end;
  }
}

void GrowDecodes(SchedulerState& state, StepPlan& plan) {
  // Only those behind `i` are preempted, so the loop sees everybody who stays.
  for (size_t i = 0; i < state.running.size(); ++i) {
    Sequence& sequence = *state.running[i];
    if (sequence.tokens_to_plan() != 1) continue;
    while (!state.cache.Grow(sequence.table, sequence.planned_end + 1)) {
      if (i + 1 == state.running.size()) return;
      state.Preempt(*state.running.back(), plan);
    }
  }
}

bool HasBlocksFor(const SchedulerState& state, const Sequence& sequence, int32_t tokens) {
  return state.cache.BlocksFor(tokens) <= static_cast<int32_t>(sequence.table.blocks.size());
}

void CutSlice(SchedulerState& state, Sequence& sequence, int32_t count, StepPlan& plan,
              std::vector<PlannedRow>& rows) {
  const int32_t begin = sequence.planned_end;
  const int32_t end = begin + count;
  const int32_t known_end = std::min(end, sequence.known());
  const std::span<const TokenId> tokens = sequence.tokens;
  const bool samples = end == sequence.length();
  plan.slices.push_back(
      {.sequence = sequence.id,
       .slot = sequence.slot,
       .begin = begin,
       .count = count,
       .tokens = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(known_end - begin)),
       .last_token_pending = known_end < end,
       .blocks = sequence.table.blocks,
       .samples = samples});
  rows.push_back({.sequence = &sequence,
                  .serial = sequence.serial,
                  .slot = sequence.slot,
                  .end = end,
                  .samples = samples});
  state.slots.RowPlanned(sequence.slot);
  sequence.planned_end = end;
  if (samples) ++sequence.samples_pending;
  state.cache.Index(tokens.first(static_cast<size_t>(known_end)), sequence.cache_salt,
                    sequence.table);
}

// How much of a prefill fits into `budget`. What doesn't reach the end stops at the end of a block,
// for only from there can the sequence skip over blocks that others compute. The `first` prefill
// takes what there is, so that a budget smaller than a block moves, too.
int32_t ChunkOf(const Sequence& sequence, int32_t budget, int32_t block_tokens, bool first) {
  if (sequence.tokens_to_plan() <= budget) return sequence.tokens_to_plan();
  const int32_t end = sequence.planned_end + budget;
  const int32_t block_end = end - end % block_tokens;
  if (block_end > sequence.planned_end) return block_end - sequence.planned_end;
  return first ? budget : 0;
}

StepWork CutSlices(SchedulerState& state, StepPlan& plan, std::vector<PlannedRow>& rows) {
  StepBudget budget(state.limits, state.cost);
  for (Sequence* sequence : state.running) {
    if (sequence->tokens_to_plan() != 1) continue;
    if (!HasBlocksFor(state, *sequence, sequence->planned_end + 1)) continue;
    budget.TakeDecode(sequence->planned_end);
    CutSlice(state, *sequence, 1, plan, rows);
  }
  for (Sequence* sequence : state.running) {
    if (budget.empty()) break;
    if (sequence->tokens_to_plan() <= 1) continue;
    const int32_t chunk = budget.ChunkMax(sequence->planned_end, sequence->tokens_to_plan());
    const int32_t count = ChunkOf(*sequence, chunk, state.limits.block_tokens, budget.first());
    if (count == 0) continue;
    budget.TakeChunk(sequence->planned_end, count);
    CutSlice(state, *sequence, count, plan, rows);
  }
  return budget.work();
}

}  // namespace

void MakePlan(SchedulerState& state, absl::Time now, StepPlan& plan) {
  plan.slices.clear();
  plan.started.clear();
  plan.preempted.clear();
  plan.expired.clear();
  ++state.plans_made;
  Expire(state, now, plan);
  CatchUpPrefills(state);
  GrowDecodes(state, plan);
  StartWaiting(state, now, plan);
  std::vector<PlannedRow>& rows = state.rows_in_flight[static_cast<size_t>(state.plans_in_flight)];
  const StepWork work = CutSlices(state, plan, rows);
  state.work_in_flight[static_cast<size_t>(state.plans_in_flight)] = work;
  if (!rows.empty()) ++state.plans_in_flight;
}

}  // namespace spillway
