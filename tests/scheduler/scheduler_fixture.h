#pragma once

#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/scheduler.h"

namespace spillway {

inline const absl::Time kStart = absl::UnixEpoch();

// `count` tokens that no other `first` shares.
inline std::vector<TokenId> Tokens(int32_t count, TokenId first = 0) {
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// A scheduler, and one word for each thing that its tests do with it.
class SchedulerFixture {
 public:
  explicit SchedulerFixture(const SchedulerLimits& limits) : scheduler(limits) {}

  // Only what a test sets matters to it. Arrivals are in the order of the calls.
  void Add(SequenceId id, const std::vector<TokenId>& prompt, SequenceSpec spec = {}) {
    spec.id = id;
    spec.prompt = prompt;
    if (spec.new_tokens_max == 0) spec.new_tokens_max = 8;
    spec.arrival = kStart + absl::Nanoseconds(++arrivals_);
    ASSERT_TRUE(scheduler.Add(spec).ok());
  }

  const StepPlan& Plan(absl::Duration since_start = absl::ZeroDuration()) {
    const StepPlan& plan = scheduler.PlanStep(kStart + since_start);
    if (plan.slices.empty()) return plan;
    int32_t samples = 0;
    for (const StepSlice& slice : plan.slices) samples += slice.samples ? 1 : 0;
    samples_in_flight_.push_back(samples);
    return plan;
  }

  // Completes the oldest plan: all its samples are kSampled, and those in `stops` (by their place
  // among the samples) end their sequences.
  std::vector<SequenceId> Complete(std::initializer_list<size_t> stops = {}) {
    std::vector<SampledSlice> sampled(static_cast<size_t>(samples_in_flight_.front()),
                                      {.token = kSampled});
    samples_in_flight_.erase(samples_in_flight_.begin());
    for (const size_t stop : stops) sampled.at(stop).stop = true;
    std::vector<SequenceId> finished;
    for (const FinishedSequence& end : scheduler.CompleteStep(sampled)) {
      finished.push_back(end.sequence);
    }
    return finished;
  }

  // Plans and completes `count` steps.
  void Steps(int count) {
    for (int i = 0; i < count; ++i) {
      if (Plan().slices.empty()) return;
      Complete();
    }
  }

  static constexpr TokenId kSampled = 7;

  Scheduler scheduler;

 private:
  int64_t arrivals_ = 0;
  std::vector<int32_t> samples_in_flight_;
};

MATCHER_P3(SliceIs, id, begin, count, "") {
  return arg.sequence == id && arg.begin == begin && arg.count == count;
}
MATCHER_P2(StartIs, id, cached_tokens, "") {
  return arg.sequence == id && arg.cached_tokens == cached_tokens;
}

}  // namespace spillway
