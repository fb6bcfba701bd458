#include "scheduler/scheduler_state.h"

#include <algorithm>

#include "common/check.h"

namespace spillway {
namespace {

bool RunsBefore(const Sequence* a, const Sequence* b) { return GoesBefore(*a, *b); }

}  // namespace

SchedulerState::SchedulerState(const SchedulerLimits& given)
    : limits(given),
      running_limit(std::min(given.running_max, given.step_tokens_max)),
      // A preempted sequence returns to waiting whatever waiting_max says, so the queue's capacity
      // is that of all sequences.
      sequences(given.waiting_max + given.running_max),
      waiting(given, given.waiting_max + given.running_max),
      cache(given),
      slots(given.running_max) {
  CHECK(limits.waiting_max > 0);
  CHECK(running_limit > 0);
  CHECK(limits.sequence_tokens_max > 0);
  CHECK(limits.prefix_bonus_candidates_max > 0);
  running.reserve(static_cast<size_t>(running_limit));
  for (auto& rows : rows_in_flight) rows.reserve(static_cast<size_t>(running_limit));
}

void SchedulerState::Start(Sequence& sequence, SlotId slot, StepPlan& plan) {
  waiting.Remove(sequence);
  sequence.running = true;
  sequence.slot = slot;
  ++sequence.run;
  sequence.planned_end = cache.Start(sequence.tokens, sequence.cache_salt, sequence.table);
  running.insert(std::ranges::upper_bound(running, &sequence, RunsBefore), &sequence);
  if (sequence.started) return;
  sequence.started = true;
  plan.started.push_back({.sequence = sequence.id, .cached_tokens = sequence.planned_end});
  averages.OnStarted(sequence.prompt_tokens, sequence.planned_end);
  prefix_query_tokens += static_cast<uint64_t>(sequence.prompt_tokens);
  prefix_hit_tokens += static_cast<uint64_t>(sequence.planned_end);
}

void SchedulerState::Preempt(Sequence& sequence, StepPlan& plan) {
  LeaveRunning(sequence);
  sequence.preempted = true;
  sequence.preempted_in_plan = plans_made;
  waiting.Push(sequence);
  plan.preempted.push_back(sequence.id);
  ++preemptions;
}

void SchedulerState::Forget(Sequence& sequence) {
  if (sequence.started) averages.OnEnded(sequence.known() - sequence.prompt_tokens);
  if (sequence.running) {
    LeaveRunning(sequence);
  } else {
    waiting.Remove(sequence);
  }
  sequences.Erase(sequence);
}

void SchedulerState::LeaveRunning(Sequence& sequence) {
  const auto it = std::ranges::lower_bound(running, &sequence, RunsBefore);
  CHECK(it != running.end() && *it == &sequence);
  running.erase(it);
  cache.Release(sequence.table);
  slots.Release(sequence.slot);
  sequence.running = false;
}

}  // namespace spillway
