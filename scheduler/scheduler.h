#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/types.h"
#include "scheduler/wait_estimate.h"

namespace spillway {

struct PlannedRow;
struct SchedulerState;

// A reading of the scheduler's state, for the worker's load frames.
struct SchedulerLoad {
  int32_t running = 0;
  int32_t waiting = 0;
  // Of those waiting: prompts, and for preempted sequences also the output to recompute. Cached
  // prefixes are not subtracted.
  int64_t waiting_prompt_tokens = 0;
  int32_t blocks_free = 0;  // of no sequence: also those that only the prefix cache still knows
  int32_t blocks_total = 0;
  // Since construction. Prompts of the sequences that started, and how much of them came from the
  // prefix cache; restarts after preemption don't count.
  uint64_t prefix_query_tokens = 0;
  uint64_t prefix_hit_tokens = 0;
  uint64_t preemptions = 0;
  WaitEstimate newcomer;  // how long a sequence that comes now would wait
};

// Decides which sequences run in the next model step and which KV blocks they use.
//
// A pure state machine: no threads, I/O, CUDA or clock. All input arrives as arguments and every
// decision leaves in the StepPlan, so days of traffic replay from a seed in seconds
// (tests/scheduler/scheduler_simulation_test.cc). The same calls give the same plans.
//
//            Add             PlanStep             CompleteStep
//   (none) -------> waiting ----------> running ---------------> (none)
//                      ^                   |     last token
//                      +---- preempted ----+     Cancel and expiry also lead to (none)
//
// Pipelining: PlanStep may be called again while one earlier plan is in flight, so that the next
// step is ready when the device is. A sequence that samples in the plan in flight is planned on as
// if it went on: its next slice has `last_token_pending`, and reads the token that the plan in
// flight samples in the same slot. Should the sample turn out to end the sequence, CompleteStep of
// the later plan ignores that slice. A sequence whose pending sample is the last that it may have
// is not planned again.
//
// What the device owes: every plan with slices is run whole, and plans run in the order in which
// they were made. So blocks and prefixes may pass from one plan to the next without waiting for
// results: a block taken in plan N is written only after plan N-1 has read it, and a prefix
// computed in plan N can be read by plan N+1. Slots don't pass so early: a slot never has rows of
// two sequences in flight.
//
// Policy:
//   Budget      Decodes first, then chunks of prefill up to `step_tokens_max`, and while anything
//               decodes up to `step_target` of predicted time (step_budget.h). At most that many
//               sequences run, so no decode ever waits for budget.
//   Order       Waiting sequences by priority, then the preempted, then by arrival, with a bonus
//   for
//               long cached prefixes bounded in age (waiting_queue.h, admission.h).
//   Memory      A sequence starts when all its tokens have blocks, and grows block by block. Full
//               blocks are shared by content, prompts and outputs alike (kv_cache.h,
//               prefix_index.h).
//   Preemption  Out of blocks, the youngest of the lowest priority goes back to waiting, to be
//               recomputed from what is still cached. It never has a higher priority than who needs
//               the block. A waiting sequence preempts only strictly lower priorities. So the
//               oldest of the highest priority always progresses.
//
// Threading: not thread-safe. EngineLoop owns the only instance on the engine thread.
class Scheduler {
 public:
  static constexpr int kPlansInFlightMax = 2;

  explicit Scheduler(const SchedulerLimits& limits);
  ~Scheduler();

  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Queues a sequence.
  //   RESOURCE_EXHAUSTED  the queue is full; the client may retry
  //   INVALID_ARGUMENT    it could not fit in the KV memory or the context even alone
  // A failed call leaves the scheduler as it was. Requires an id not in use.
  absl::Status Add(const SequenceSpec& spec);

  // Forgets a sequence and frees its blocks. Unknown ids are ignored: a client may hang up in the
  // same instant its last token is produced. Safe while plans are in flight: their slices run, and
  // count for nothing. The id may be used again at once.
  void Cancel(SequenceId id);

  // Plans the next step as of `now`. Empty slices mean that nothing can run now; such a plan is not
  // in flight and must not be completed. With nothing in flight they mean that there is no
  // sequence. Requires fewer than kPlansInFlightMax plans in flight.
  const StepPlan& PlanStep(absl::Time now);

  // Records that the oldest plan in flight ran: `sampled` has one entry for each of its slices
  // with `samples`, in their order. Entries of sequences that have ended meanwhile are ignored; a
  // sequence preempted meanwhile gets its token, and may end, while it waits. `took` is how long
  // the device was busy with this plan; zero if that isn't known.
  // Returns the sequences that thereby ended, in the order of their slices; the span holds until
  // the next CompleteStep().
  std::span<const FinishedSequence> CompleteStep(std::span<const SampledSlice> sampled,
                                                 absl::Duration took = absl::ZeroDuration());

  // Forgets every cached prefix that no sequence uses. Those in use stay shareable, and stay cached
  // after their sequences end.
  void ResetPrefixCache();

  SchedulerLoad load() const;
  int32_t plans_in_flight() const;
  const SchedulerLimits& limits() const;

 private:
  void CompleteRow(const PlannedRow& row, const SampledSlice* sample);

  std::unique_ptr<SchedulerState> state_;
  StepPlan plan_;
  std::vector<FinishedSequence> finished_;
};

}  // namespace spillway
