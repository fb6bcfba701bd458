#include "scheduler/scheduler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "scheduler/scheduler_state.h"
#include "scheduler/step_planner.h"

namespace spillway {

Scheduler::Scheduler(const SchedulerLimits& limits)
    : state_(std::make_unique<SchedulerState>(limits)) {
  const auto running_max = static_cast<size_t>(limits.running_max);
  plan_.slices.reserve(running_max);
  plan_.started.reserve(running_max);
  plan_.preempted.reserve(running_max);
  plan_.expired.reserve(running_max + static_cast<size_t>(limits.waiting_max));
  finished_.reserve(running_max);
}

Scheduler::~Scheduler() = default;

absl::Status Scheduler::Add(const SequenceSpec& spec) {
  CHECK(!spec.prompt.empty());
  CHECK(spec.new_tokens_max > 0);
  const SchedulerLimits& limits = state_->limits;
  const auto prompt_tokens = static_cast<int64_t>(spec.prompt.size());
  const int64_t tokens_max = prompt_tokens + spec.new_tokens_max;
  if (tokens_max > limits.sequence_tokens_max) {
    return absl::InvalidArgumentError(absl::StrCat(
        "prompt of ", prompt_tokens, " tokens and ", spec.new_tokens_max, " new tokens exceed the ",
        limits.sequence_tokens_max, " tokens of the context"));
  }
  // Nothing reads the KV of the last token.
  const int32_t blocks_max = state_->cache.BlocksFor(tokens_max - 1);
  if (blocks_max > limits.block_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt of ", prompt_tokens, " tokens and ", spec.new_tokens_max,
                     " new tokens need ", blocks_max, " KV blocks of ", limits.block_tokens,
                     " tokens; this worker has ", limits.block_count));
  }
  if (state_->waiting.size() >= limits.waiting_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the waiting queue is full: ", limits.waiting_max, " sequences"));
  }
  Sequence& sequence = state_->sequences.Create(spec, blocks_max);
  state_->waiting.Push(sequence);
  state_->deadline_min = std::min(state_->deadline_min, sequence.deadline);
  return absl::OkStatus();
}

void Scheduler::Cancel(SequenceId id) {
  if (Sequence* sequence = state_->sequences.Find(id)) state_->Forget(*sequence);
}

const StepPlan& Scheduler::PlanStep(absl::Time now) {
  CHECK(state_->plans_in_flight < kPlansInFlightMax);
  MakePlan(*state_, now, plan_);
  return plan_;
}

std::span<const FinishedSequence> Scheduler::CompleteStep(std::span<const SampledSlice> sampled,
                                                          absl::Duration took) {
  CHECK(state_->plans_in_flight > 0);
  finished_.clear();
  auto& rows_in_flight = state_->rows_in_flight;
  auto& work_in_flight = state_->work_in_flight;
  state_->cost.Observe(work_in_flight.front(), took);
  size_t samples_used = 0;
  for (const PlannedRow& row : rows_in_flight.front()) {
    state_->slots.RowCompleted(row.slot);
    const SampledSlice* sample = nullptr;
    if (row.samples) {
      CHECK(samples_used < sampled.size());
      sample = &sampled[samples_used++];
    }
    if (row.sequence->serial == row.serial) CompleteRow(row, sample);
  }
  CHECK(samples_used == sampled.size());
  rows_in_flight.front().clear();
  std::ranges::rotate(rows_in_flight, rows_in_flight.begin() + 1);
  std::ranges::rotate(work_in_flight, work_in_flight.begin() + 1);
  --state_->plans_in_flight;
  return finished_;
}

void Scheduler::CompleteRow(const PlannedRow& row, const SampledSlice* sample) {
  Sequence& sequence = *row.sequence;
  if (sample == nullptr) return;

  // Also to a sequence that was preempted since: the token was computed, and clients see it.
  sequence.tokens.push_back(sample->token);
  --sequence.samples_pending;
  const bool out_of_tokens = sequence.known() - sequence.prompt_tokens == sequence.new_tokens_max;
  const bool ends = sample->stop || out_of_tokens;
  if (sequence.running) {
    // No sequence starts again with a sample in flight, so this row is of its present run. The
    // token may fill a block that the plan in flight computes. If the sequence ends here, that
    // plan's slice of it counts for nothing, so only what has completed is indexed.
    const int32_t end = ends ? row.end : sequence.planned_end;
    const std::span<const TokenId> tokens = sequence.tokens;
    state_->cache.Index(tokens.first(static_cast<size_t>(std::min(end, sequence.known()))),
                        sequence.cache_salt, sequence.table);
  }
  if (!ends) return;
  finished_.push_back({.sequence = sequence.id,
                       .end = sample->stop ? SequenceEnd::kStopped : SequenceEnd::kLength});
  state_->Forget(sequence);
}

void Scheduler::ResetPrefixCache() { state_->cache.ForgetUnused(); }

SchedulerLoad Scheduler::load() const {
  return {.running = static_cast<int32_t>(state_->running.size()),
          .waiting = state_->waiting.size(),
          .waiting_prompt_tokens = state_->waiting.tokens(),
          .blocks_free = state_->cache.free_count(),
          .blocks_total = state_->cache.block_count(),
          .prefix_query_tokens = state_->prefix_query_tokens,
          .prefix_hit_tokens = state_->prefix_hit_tokens,
          .preemptions = state_->preemptions,
          .newcomer = EstimateWait(*state_)};
}

int32_t Scheduler::plans_in_flight() const { return state_->plans_in_flight; }

const SchedulerLimits& Scheduler::limits() const { return state_->limits; }

}  // namespace spillway
