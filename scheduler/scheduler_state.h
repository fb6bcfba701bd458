#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/kv_cache.h"
#include "scheduler/scheduler.h"
#include "scheduler/sequence.h"
#include "scheduler/sequence_table.h"
#include "scheduler/slot_pool.h"
#include "scheduler/step_cost.h"
#include "scheduler/types.h"
#include "scheduler/wait_estimate.h"
#include "scheduler/waiting_queue.h"

namespace spillway {

// What the scheduler must remember of a slice until its step has completed.
struct PlannedRow {
  Sequence* sequence = nullptr;
  uint64_t serial = 0;  // of the sequence when planned: its record may serve another one by now
  SlotId slot{};
  int32_t end = 0;
  bool samples = false;
};

// All that the scheduler knows, and the moves of a sequence that keep its parts in step. The
// decisions are made elsewhere: admission.h, step_planner.h and the verbs in scheduler.cc.
//
// A sequence is either in `waiting`, without blocks and slot, or in `running`.
struct SchedulerState {
  explicit SchedulerState(const SchedulerLimits& limits);

  // From waiting to running. Requires the free blocks that KvCache::Start() asks for.
  void Start(Sequence& sequence, SlotId slot, StepPlan& plan);
  // From running back to waiting. A sample that is in flight still reaches it there.
  void Preempt(Sequence& sequence, StepPlan& plan);
  // From either to nowhere.
  void Forget(Sequence& sequence);

  const SchedulerLimits limits;
  // At most step_tokens_max sequences run, so each of them can have a token in every step: decodes
  // never wait for budget, and neither does the first of the prefills.
  const int32_t running_limit;

  SequenceTable sequences;
  WaitingQueue waiting;
  std::vector<Sequence*> running;  // ordered by GoesBefore()
  KvCache cache;
  SlotPool slots;
  StepCost cost;
  SequenceAverages averages;

  // Rows of the plans in flight, oldest first; the rest are empty.
  std::array<std::vector<PlannedRow>, Scheduler::kPlansInFlightMax> rows_in_flight;
  std::array<StepWork, Scheduler::kPlansInFlightMax> work_in_flight;
  int32_t plans_in_flight = 0;
  uint64_t plans_made = 0;  // also empty ones

  // No sequence has a deadline before this one: spares a walk over all of them in each step.
  absl::Time deadline_min = absl::InfiniteFuture();

  uint64_t prefix_query_tokens = 0;
  uint64_t prefix_hit_tokens = 0;
  uint64_t preemptions = 0;

 private:
  void LeaveRunning(Sequence& sequence);
};

}  // namespace spillway
