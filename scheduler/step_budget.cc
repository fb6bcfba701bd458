#include "scheduler/step_budget.h"

#include <algorithm>

#include "common/check.h"

namespace spillway {
namespace {

// A chunk's cost is a guess beyond the chunks that were measured: it may be this many tokens while
// none was, and at most this many times the longest.
constexpr int64_t kUnmeasuredChunk = 64;
constexpr int64_t kChunkGrowth = 2;

}  // namespace

StepBudget::StepBudget(const SchedulerLimits& limits, const StepCost& cost)
    : limits_(limits), cost_(cost), tokens_left_(limits.step_tokens_max) {}

void StepBudget::TakeDecode(int32_t begin) {
  CHECK(first_ && tokens_left_ > 0);
  --tokens_left_;
  work_.Add(begin, 1);
  if (limits_.step_target == absl::InfiniteDuration()) return;
  const absl::Duration decodes = cost_.Predict(work_);
  time_max_ = decodes < limits_.step_target ? limits_.step_target : 2 * decodes;
}

void StepBudget::TakeChunk(int32_t begin, int32_t count) {
  CHECK(count <= tokens_left_);
  tokens_left_ -= count;
  work_.Add(begin, count);
  first_ = false;
}

int32_t StepBudget::ChunkMax(int32_t begin, int32_t wanted) const {
  const int32_t most = std::min(wanted, tokens_left_);
  if (time_max_ == absl::InfiniteDuration()) return most;
  int32_t fits = first_ ? std::min(most, limits_.block_tokens) : 0;
  int32_t too_many = most + 1;
  while (fits + 1 < too_many) {
    const int32_t middle = fits + (too_many - fits) / 2;
    (EndsInTime(begin, middle) ? fits : too_many) = middle;
  }
  return fits;
}

bool StepBudget::EndsInTime(int32_t begin, int32_t count) const {
  StepWork work = work_;
  work.Add(begin, count);
  const int64_t seen = cost_.prefill_tokens_seen();
  if (work.tokens - work_.tokens > std::max(kUnmeasuredChunk, kChunkGrowth * seen)) return false;
  return cost_.Predict(work) <= time_max_;
}

}  // namespace spillway
