#pragma once

#include "absl/time/time.h"
#include "scheduler/scheduler_state.h"
#include "scheduler/types.h"

namespace spillway {

// Makes the plan of one step and moves `state` on to it. In this order:
//   1. sequences past their deadline are forgotten;
//   2. prefills skip over blocks that others have computed since they started;
//   3. each decode, first to last, gets the block that its token needs. When none is free, the last
//      running sequence is preempted. If that is the decode itself it sits the step out and keeps
//      what it has: nobody gains by its going until somebody before it needs a block;
//   4. waiting sequences start (admission.h);
//   5. slices are cut: a token for each decode, then chunks of prefill as StepBudget has it.
//
// `plan` is cleared first. Requires fewer than kPlansInFlightMax plans in flight.
void MakePlan(SchedulerState& state, absl::Time now, StepPlan& plan);

}  // namespace spillway
