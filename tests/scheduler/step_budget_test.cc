#include "scheduler/step_budget.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr int32_t kWanted = 4000;

SchedulerLimits Limits(absl::Duration step_target) {
  return {.step_tokens_max = 512, .block_tokens = 16, .step_target = step_target};
}

// A millisecond a token, and nothing else.
StepCost AMillisecondAToken() {
  StepCost cost;
  for (int i = 0; i < 50; ++i) {
    StepWork decodes;
    for (int k = 0; k <= i % 5; ++k) decodes.Add(10 * k, 1);
    cost.Observe(decodes, decodes.tokens * absl::Milliseconds(1));
    StepWork prefill;
    prefill.Add(13 * i, 100 + 10 * (i % 11));
    cost.Observe(prefill, prefill.tokens * absl::Milliseconds(1));
  }
  return cost;
}

TEST(StepBudgetTest, WhileNothingDecodesTimeIsNoLimit) {
  const SchedulerLimits limits = Limits(absl::Milliseconds(1));
  const StepCost cost = AMillisecondAToken();
  const StepBudget budget(limits, cost);
  EXPECT_EQ(budget.ChunkMax(0, kWanted), 512);
  EXPECT_EQ(budget.ChunkMax(0, 20), 20);
}

TEST(StepBudgetTest, WithoutATargetTimeIsNoLimit) {
  const SchedulerLimits limits = Limits(absl::InfiniteDuration());
  const StepCost cost = AMillisecondAToken();
  StepBudget budget(limits, cost);
  budget.TakeDecode(100);
  EXPECT_EQ(budget.ChunkMax(0, kWanted), 511);
}

TEST(StepBudgetTest, DecodesAndChunkTogetherStayUnderTheTarget) {
  const SchedulerLimits limits = Limits(absl::Milliseconds(100));
  const StepCost cost = AMillisecondAToken();
  StepBudget budget(limits, cost);
  for (int i = 0; i < 10; ++i) budget.TakeDecode(100);
  EXPECT_NEAR(budget.ChunkMax(0, kWanted), 90, 3);
  EXPECT_EQ(budget.ChunkMax(0, 50), 50);
}

TEST(StepBudgetTest, TheNextPrefillGetsWhatTheFirstLeft) {
  const SchedulerLimits limits = Limits(absl::Milliseconds(100));
  const StepCost cost = AMillisecondAToken();
  StepBudget budget(limits, cost);
  budget.TakeDecode(100);
  budget.TakeChunk(0, 60);
  EXPECT_NEAR(budget.ChunkMax(0, kWanted), 39, 3);
  budget.TakeChunk(0, 42);
  EXPECT_EQ(budget.ChunkMax(0, kWanted), 0) << "not even a block: another one got on";
}

TEST(StepBudgetTest, ATargetThatDecodesAloneMissAllowsAsMuchAgain) {
  const SchedulerLimits limits = Limits(absl::Milliseconds(30));
  const StepCost cost = AMillisecondAToken();
  StepBudget budget(limits, cost);
  for (int i = 0; i < 40; ++i) budget.TakeDecode(100);
  EXPECT_NEAR(budget.ChunkMax(0, kWanted), 40, 3);
}

TEST(StepBudgetTest, TheFirstPrefillGetsABlockWhateverItCosts) {
  const SchedulerLimits limits = Limits(absl::Milliseconds(10));
  const StepCost cost = AMillisecondAToken();
  StepBudget budget(limits, cost);
  for (int i = 0; i < 9; ++i) budget.TakeDecode(100);
  EXPECT_EQ(budget.ChunkMax(0, kWanted), 16);
  EXPECT_EQ(budget.ChunkMax(0, 7), 7);
}

TEST(StepBudgetTest, ChunksThatNobodyMeasuredGrowStepByStep) {
  const SchedulerLimits limits = Limits(absl::Hours(1));
  StepCost cost;
  const auto chunk = [&] {
    StepBudget budget(limits, cost);
    budget.TakeDecode(100);
    return budget.ChunkMax(0, kWanted);
  };
  EXPECT_EQ(chunk(), 64);
  StepWork work;
  work.Add(0, 64);
  cost.Observe(work, absl::Milliseconds(64));
  EXPECT_EQ(chunk(), 128);
  work.Add(0, 200);
  cost.Observe(work, absl::Milliseconds(264));
  EXPECT_EQ(chunk(), 511) << "all that the budget has";
}

TEST(StepBudgetTest, IsEmptyWhenItsTokensAreGone) {
  const SchedulerLimits limits = Limits(absl::InfiniteDuration());
  const StepCost cost;
  StepBudget budget(limits, cost);
  budget.TakeDecode(1);
  EXPECT_TRUE(budget.first());
  budget.TakeChunk(0, 511);
  EXPECT_FALSE(budget.first());
  EXPECT_TRUE(budget.empty());
  EXPECT_EQ(budget.ChunkMax(0, 5), 0);
}

}  // namespace
}  // namespace spillway
