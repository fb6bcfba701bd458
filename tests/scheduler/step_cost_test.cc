#include "scheduler/step_cost.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

StepWork Decodes(int rows, int64_t context) {
  StepWork work;
  for (int i = 0; i < rows; ++i) work.Add(context - 1, 1);
  return work;
}

StepWork Prefill(int64_t begin, int64_t count) {
  StepWork work;
  work.Add(begin, count);
  return work;
}

// 5 ms to read the weights, 1 ms a token, 10 us a row, 100 ns a token of context.
absl::Duration TrueCost(const StepWork& work) {
  return absl::Milliseconds(5) + work.tokens * absl::Milliseconds(1) +
         work.rows * absl::Microseconds(10) + work.context_tokens * absl::Nanoseconds(100);
}

double Ratio(absl::Duration a, absl::Duration b) { return absl::FDivDuration(a, b); }

// Has seen decodes and prefills of many kinds.
StepCost Learned(absl::Duration (*cost)(const StepWork&)) {
  StepCost learned;
  for (int i = 0; i < 40; ++i) {
    const StepWork decodes = Decodes(1 + i % 9, 100 + 50 * i);
    const StepWork prefill = Prefill(37 * i, 16 + 11 * i);
    learned.Observe(decodes, cost(decodes));
    learned.Observe(prefill, cost(prefill));
  }
  return learned;
}

TEST(StepWorkTest, CountsWhatEachTokenAttendsTo) {
  StepWork work;
  work.Add(/*begin=*/10, /*count=*/3);  // 11, 12 and 13 tokens
  EXPECT_EQ(work.context_tokens, 36);
  work.Add(/*begin=*/4, /*count=*/1);
  EXPECT_EQ(work.context_tokens, 41);
  EXPECT_EQ(work.tokens, 4);
  EXPECT_EQ(work.rows, 2);
}

TEST(StepWorkTest, KnowsDecodesFromPrefills) {
  EXPECT_FALSE(Decodes(3, 10).prefills);
  EXPECT_TRUE(Prefill(0, 2).prefills);
}

TEST(StepCostTest, NothingMeasuredIsNothingPredicted) {
  EXPECT_EQ(StepCost().Predict(Prefill(0, 100)), absl::ZeroDuration());
}

TEST(StepCostTest, LearnsWhatStepsTake) {
  const StepCost cost = Learned(TrueCost);
  StepWork mixed = Decodes(6, 900);
  mixed.Add(2000, 100);
  for (const StepWork& work : {Decodes(1, 50), Decodes(8, 3000), Prefill(0, 400), mixed}) {
    EXPECT_NEAR(Ratio(cost.Predict(work), TrueCost(work)), 1, 0.05) << work.tokens;
  }
}

TEST(StepCostTest, StepsThatWereNotMeasuredCountForNothing) {
  StepCost cost = Learned(TrueCost);
  const absl::Duration before = cost.Predict(Prefill(0, 100));
  for (int i = 0; i < 100; ++i) cost.Observe(Prefill(0, 100), absl::ZeroDuration());
  EXPECT_EQ(cost.Predict(Prefill(0, 100)), before);
}

TEST(StepCostTest, HoursOfDecodingDoNotWashOutPrefills) {
  StepCost cost = Learned(TrueCost);
  for (int i = 0; i < 100'000; ++i) cost.Observe(Decodes(4, 500), TrueCost(Decodes(4, 500)));
  EXPECT_NEAR(Ratio(cost.Predict(Prefill(0, 200)), TrueCost(Prefill(0, 200))), 1, 0.05);
}

TEST(StepCostTest, FollowsAMachineThatBecomesSlower) {
  StepCost cost = Learned(TrueCost);
  for (int i = 0; i < 100; ++i) {
    const StepWork work = Prefill(20 * i, 20 + i);
    cost.Observe(work, 3 * TrueCost(work));
  }
  EXPECT_GT(Ratio(cost.Predict(Prefill(0, 100)), 3 * TrueCost(Prefill(0, 100))), 0.9);
}

TEST(StepCostTest, AStoppedProcessIsNoForecast) {
  StepCost cost = Learned(TrueCost);
  const absl::Duration before = cost.Predict(Prefill(0, 100));
  cost.Observe(Prefill(0, 100), absl::Minutes(1));
  const double ratio = Ratio(cost.Predict(Prefill(0, 100)), before);
  EXPECT_GT(ratio, 1);
  EXPECT_LT(ratio, 1.5);
}

TEST(StepCostTest, AStepThatWasCollectedLateAndLooksShortIsNoForecast) {
  StepCost cost = Learned(TrueCost);
  const absl::Duration before = cost.Predict(Prefill(0, 100));
  cost.Observe(Prefill(0, 100), absl::Microseconds(1));
  EXPECT_GT(Ratio(cost.Predict(Prefill(0, 100)), before), 0.9);
}

TEST(StepCostTest, AddsWhatPrefillsTookLongerThanTheirFit) {
  StepCost cost = Learned(TrueCost);
  for (int i = 0; i < 200; ++i) {
    const StepWork work = Prefill(0, 100 + i % 7);
    cost.Observe(work, (i % 2 == 0 ? 0.8 : 1.2) * TrueCost(work));
  }
  const double ratio = Ratio(cost.Predict(Prefill(0, 100)), TrueCost(Prefill(0, 100)));
  EXPECT_GT(ratio, 1.05);
  EXPECT_LT(ratio, 1.5);
}

TEST(StepCostTest, MoreWorkIsNeverPredictedToTakeLess) {
  // Here longer context comes with shorter times: a plain fit would give it a negative cost.
  StepCost cost;
  for (int i = 1; i <= 50; ++i) {
    cost.Observe(Prefill(10'000 / i, 64), absl::Milliseconds(50 + i));
    cost.Observe(Decodes(i % 5 + 1, 10'000 / i), absl::Milliseconds(10));
  }
  for (const int64_t begin : {0, 100, 10'000}) {
    EXPECT_LE(cost.Predict(Prefill(begin, 10)), cost.Predict(Prefill(begin + 100, 10)));
    EXPECT_LE(cost.Predict(Prefill(begin, 10)), cost.Predict(Prefill(begin, 100)));
    EXPECT_GT(cost.Predict(Prefill(begin, 10)), absl::ZeroDuration());
  }
}

TEST(StepCostTest, BeyondWhatItSawATokenIsAsDearAsInTheLongestStep) {
  // Up to 64 tokens take 40 ms, and nothing says that 640 don't.
  StepCost cost;
  for (int i = 1; i <= 64; ++i) {
    cost.Observe(Prefill(0, i), absl::Milliseconds(40));
    cost.Observe(Decodes(1, 100), absl::Milliseconds(40));
  }
  EXPECT_NEAR(Ratio(cost.Predict(Prefill(0, 64)), absl::Milliseconds(40)), 1, 0.05);
  EXPECT_NEAR(Ratio(cost.Predict(Prefill(0, 640)), absl::Milliseconds(400)), 1, 0.05);
}

TEST(StepCostTest, RemembersTheLongestPrefillThatItSaw) {
  StepCost cost;
  cost.Observe(Decodes(9, 100), absl::Milliseconds(9));
  EXPECT_EQ(cost.prefill_tokens_seen(), 0);
  cost.Observe(Prefill(0, 80), absl::Milliseconds(80));
  cost.Observe(Prefill(0, 30), absl::Milliseconds(30));
  EXPECT_EQ(cost.prefill_tokens_seen(), 80);
}

}  // namespace
}  // namespace spillway
