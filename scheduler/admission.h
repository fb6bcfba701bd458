#pragma once

#include "absl/time/time.h"
#include "scheduler/scheduler_state.h"
#include "scheduler/types.h"

namespace spillway {

// Decides which waiting sequences start, and starts them.
//
// The first in line (WaitingQueue::Next) starts when there is
//   - a slot,
//   - room in this step's token budget behind the decodes and the prefills that go before it: one
//     that starts earlier than it can compute only misses the prefixes that others are computing,
//   - a free block for each of its tokens, so that prefills never fight over blocks half-way, and
//     one more for each sequence that runs already, so that it isn't preempted right away.
// While the first in line can't start, nobody behind it does: what is big gets its turn, too.
//
// For slots, blocks and budget, running sequences of strictly lower priority are preempted, the
// last ones first, and only if that lets the first in line start.
//
// Each try looks at no more than `prefix_bonus_candidates_max` prefixes and the first in line's,
// and each try but the last starts a sequence.
void StartWaiting(SchedulerState& state, absl::Time now, StepPlan& plan);

}  // namespace spillway
