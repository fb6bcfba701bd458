#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/executor.h"

namespace spillway {

// What executors of every device ask for. Pure.

// INVALID_ARGUMENT when a step of `step_tokens_max` has no room for one token of each of
// `running_max` sequences, or `sequence_tokens_max` is beyond the model's context.
absl::Status CheckExecutorLimits(int32_t running_max, int32_t step_tokens_max,
                                 int32_t sequence_tokens_max, int32_t context_tokens_max);

// CHECKs what the scheduler guarantees of a row: one that breaks it would make an executor of
// `shape` read or overwrite another sequence's memory.
void CheckStepRow(const StepRow& row, const ExecutorShape& shape);

}  // namespace spillway
