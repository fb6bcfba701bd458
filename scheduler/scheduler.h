#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/types.h"

namespace spillway {

// A reading of the scheduler's state, for the worker's load frames.
struct SchedulerLoad {
  int32_t running = 0;
  int32_t waiting = 0;
  int64_t waiting_prompt_tokens = 0;
  int32_t blocks_free = 0;  // of no sequence: also those that only the prefix cache still knows
  int32_t blocks_total = 0;
  uint64_t prefix_query_tokens = 0;  // prompt tokens looked up, since start
  uint64_t prefix_hit_tokens = 0;
  uint64_t preemptions = 0;
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
// if it went on: its next slice has `last_token_pending`. Should the sample turn out to end the
// sequence, CompleteStep of the later plan ignores that slice. This is safe because a device runs
// steps in the order of their plans: blocks and slots freed at a completion are handed out again
// only by plans made after it.
//
// Policy: decodes first, then chunks of prefill up to `step_tokens_max`; waiting sequences by
// priority, then arrival, with a bonus for long cached prefixes bounded in age. Out of blocks, the
// youngest of the lowest priority is preempted and recomputed later, so the oldest of the highest
// priority always progresses.
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
  // same instant its last token is produced. Safe while plans are in flight.
  void Cancel(SequenceId id);

  // Plans the next step as of `now`. Empty slices mean that nothing can run now; such a plan is not
  // in flight and must not be completed. Requires fewer than kPlansInFlightMax plans in flight.
  const StepPlan& PlanStep(absl::Time now);

  // Records that the oldest plan in flight ran: `sampled` has one entry for each of its slices
  // with `samples`, in their order. Entries of sequences that have ended meanwhile are ignored.
  // Returns the sequences that thereby ended; the span holds until the next call.
  std::span<const FinishedSequence> CompleteStep(std::span<const SampledSlice> sampled);

  // Forgets every cached prefix that no sequence uses.
  void ResetPrefixCache();

  SchedulerLoad load() const;
  int32_t plans_in_flight() const;
  const SchedulerLimits& limits() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
