#include "scheduler/wait_estimate.h"

#include <vector>

#include "gtest/gtest.h"
#include "scheduler/scheduler.h"
#include "scheduler/step_cost.h"

namespace spillway {
namespace {

constexpr int32_t kChunk = 64;

// A scheduler on a device that takes 1 ms for a step and 100 µs more for each of its tokens.
class WaitEstimateTest : public ::testing::Test {
 protected:
  explicit WaitEstimateTest(SchedulerLimits limits = {.waiting_max = 64,
                                                      .running_max = 4,
                                                      .step_tokens_max = kChunk,
                                                      .block_count = 1024})
      : scheduler_(limits) {}

  void Add(int32_t prompt_tokens, int32_t new_tokens, bool cached = false) {
    std::vector<TokenId> prompt(static_cast<size_t>(prompt_tokens));
    for (TokenId& token : prompt) token = cached ? 1 : ++last_token_;
    ASSERT_TRUE(scheduler_
                    .Add({.id = SequenceId{++last_id_},
                          .prompt = prompt,
                          .new_tokens_max = new_tokens,
                          .arrival = absl::UnixEpoch() + absl::Nanoseconds(last_id_)})
                    .ok());
  }

  // One step; how long it took. Zero when nothing could run.
  absl::Duration Step() {
    StepWork work;
    size_t samples = 0;
    for (const StepSlice& slice : scheduler_.PlanStep(absl::UnixEpoch()).slices) {
      work.Add(slice.begin, slice.count);
      samples += slice.samples ? 1 : 0;
    }
    if (work.tokens == 0) return absl::ZeroDuration();
    const absl::Duration took =
        absl::Milliseconds(1) + static_cast<double>(work.tokens) * absl::Microseconds(100);
    scheduler_.CompleteStep(std::vector<SampledSlice>(samples), took);
    return took;
  }
  void Steps(int count) {
    for (int i = 0; i < count; ++i) Step();
  }
  void RunAll() {
    while (Step() > absl::ZeroDuration()) {
    }
  }
  // So that costs and averages are known: sequences of 100 prompt tokens and 40 of output.
  void Measure() {
    for (int i = 0; i < 100; ++i) {
      Add(100, 40);
      if (i % 3 == 2) RunAll();
    }
    RunAll();
  }

  double WaitMs() const { return absl::ToDoubleMilliseconds(scheduler_.load().newcomer.wait); }

  Scheduler scheduler_;

 private:
  uint64_t last_id_ = 0;
  TokenId last_token_ = 1000;
};

TEST_F(WaitEstimateTest, IsNothingBeforeAnythingWasMeasured) {
  Add(200, 10);
  const WaitEstimate estimate = scheduler_.load().newcomer;
  EXPECT_EQ(estimate.wait, absl::ZeroDuration());
  EXPECT_EQ(estimate.per_prompt_token, absl::ZeroDuration());
  EXPECT_EQ(estimate.per_sequence, absl::ZeroDuration());
}

TEST_F(WaitEstimateTest, NobodyWaitsOnAnIdleDevice) {
  Measure();
  EXPECT_EQ(WaitMs(), 0);
}

TEST_F(WaitEstimateTest, IsTheStepsUntilThePromptsAheadLeaveBudgetOver) {
  Measure();
  Add(10 * kChunk, 40);
  Add(kChunk / 2, 40);
  // Ten whole chunks, and a newcomer begins beside the half one.
  EXPECT_NEAR(WaitMs(), 10 * (1 + 6.4), 2);
  EXPECT_NEAR(absl::ToDoubleMicroseconds(scheduler_.load().newcomer.per_prompt_token),
              100 + 1000.0 / kChunk, 3);
  Steps(4);
  EXPECT_NEAR(WaitMs(), 6 * (1 + 6.4), 2) << "what is computed is no longer ahead";
}

TEST_F(WaitEstimateTest, CountsTheRestOfTheStepUnderWay) {
  Measure();
  Add(kChunk, 40);
  scheduler_.PlanStep(absl::UnixEpoch());
  EXPECT_NEAR(WaitMs(), (1 + 6.4) / 2, 0.5);
}

TEST_F(WaitEstimateTest, WhereAllPlacesAreTakenSomeMustEnd) {
  Measure();
  for (int i = 0; i < 4; ++i) Add(16, 1000);
  Steps(5);
  // One of four ends after ten steps on average, since an output has 40 tokens.
  const double end = 10 * (1 + 0.4);
  EXPECT_NEAR(WaitMs(), end, end / 10);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(scheduler_.load().newcomer.per_sequence), end, end / 10);
  for (int i = 0; i < 3; ++i) Add(1, 1000);
  EXPECT_NEAR(WaitMs(), 4 * end, 4 * end / 10);
}

TEST_F(WaitEstimateTest, DecodesGoOnWhilePromptsAreComputed) {
  Measure();
  for (int i = 0; i < 4; ++i) Add(16, 1000);
  Steps(5);
  Add(20 * kChunk, 40);
  // Twenty chunks and a bit, since 60 tokens of 64 are left beside four decodes. Two ends take
  // twenty steps: they have come by then.
  EXPECT_NEAR(WaitMs(), 21 * (1 + 6.4), 8);
}

TEST_F(WaitEstimateTest, WhatMayWellBeCachedIsNotCounted) {
  Measure();
  for (int i = 0; i < 200; ++i) {
    Add(160, 10, /*cached=*/true);
    RunAll();
  }
  for (int i = 0; i < 10; ++i) Add(160, 10);
  // Of ten blocks the last is computed, and a little of the average remembers other times.
  EXPECT_NEAR(WaitMs(), 3 * (1 + 6.4), 8);
}

class LittleMemoryTest : public WaitEstimateTest {
 protected:
  LittleMemoryTest()
      : WaitEstimateTest({.waiting_max = 64,
                          .running_max = 16,
                          .step_tokens_max = kChunk,
                          .block_count = 20,
                          .prefix_cache = false}) {}
};

TEST_F(LittleMemoryTest, WhereBlocksAreMissingSomeMustEnd) {
  Measure();
  Add(8 * 16, 60);
  Add(8 * 16, 60);
  Steps(12);
  EXPECT_EQ(scheduler_.load().running, 2);
  const double free = scheduler_.load().blocks_free;
  // 100 tokens of prompt are what one gives back, and what the newcomer brings.
  const double ends = (100.0 / 16 + 2 - free) / (100.0 / 16);
  EXPECT_GT(ends, 0);
  EXPECT_NEAR(WaitMs(), ends * 40 / 2 * (1 + 0.2), 3);
}

}  // namespace
}  // namespace spillway
