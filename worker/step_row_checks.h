#pragma once

#include "worker/executor.h"

namespace spillway {

// CHECKs what the scheduler guarantees of a row: one that breaks it would make an executor of
// `shape` read or overwrite another sequence's memory.
void CheckStepRow(const StepRow& row, const ExecutorShape& shape);

}  // namespace spillway
