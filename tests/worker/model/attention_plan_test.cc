// worker/model/attention_plan.h: every (row, head, split) exactly once, in fair shares.

#include "worker/model/attention_plan.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/kernels/attention.h"

namespace spillway {
namespace {

using Slice = AttentionPlan::Slice;

// How many units compute each (slice, row, head, split).
std::map<std::tuple<int32_t, int32_t, int32_t, int32_t>, int32_t> Covered(const AttentionPlan& plan,
                                                                          int32_t threads) {
  std::map<std::tuple<int32_t, int32_t, int32_t, int32_t>, int32_t> covered;
  for (int32_t thread = 0; thread < threads; ++thread) {
    for (const AttentionUnit& unit : plan.UnitsOf(thread)) {
      EXPECT_LE(unit.row_count * unit.head_count, kAttentionQueriesMax);
      for (int32_t row = 0; row < unit.row_count; ++row) {
        for (int32_t head = 0; head < unit.head_count; ++head) {
          for (int32_t split = unit.split_begin; split < unit.split_end; ++split) {
            ++covered[{unit.slice, unit.first_row + row, unit.first_head + head, split}];
          }
        }
      }
    }
  }
  return covered;
}

TEST(AttentionPlanTest, AWindowLeavesOutWhatNoRowSees) {
  const std::vector<Slice> slices = {{.begin = 1000, .count = 1},   // one split
                                     {.begin = 1050, .count = 1},   // two
                                     {.begin = 1000, .count = 60},  // rows of either kind
                                     {.begin = 0, .count = 1}};
  AttentionPlan plan(/*kv_head_count=*/1, /*group=*/2, /*thread_count=*/2, /*window=*/100);
  plan.Build(slices);

  const auto covered = Covered(plan, 2);

  EXPECT_TRUE(covered.contains({0, 0, 0, 3}));
  EXPECT_FALSE(covered.contains({0, 0, 0, 2}));
  EXPECT_TRUE(covered.contains({1, 0, 1, 3}) && covered.contains({1, 0, 1, 4}));
  EXPECT_FALSE(covered.contains({1, 0, 1, 2}));
  EXPECT_FALSE(covered.contains({2, 0, 0, 2}) || covered.contains({2, 0, 0, 4}));
  EXPECT_TRUE(covered.contains({2, 59, 0, 3}) && covered.contains({2, 59, 0, 4}));
  EXPECT_TRUE(covered.contains({3, 0, 0, 0}));
  ASSERT_EQ(plan.partial_rows().size(), 1u);
  EXPECT_EQ(plan.partial_rows()[0].slice, 1);
  EXPECT_EQ(plan.partial_rows()[0].split_begin, 3);
  EXPECT_EQ(plan.partial_rows()[0].split_end, 5);
}

TEST(AttentionPlanTest, CoversEverythingOnceForAnyThreads) {
  const std::vector<Slice> slices = {{.begin = 0, .count = 1},    {.begin = 700, .count = 1},
                                     {.begin = 250, .count = 20}, {.begin = 0, .count = 100},
                                     {.begin = 255, .count = 1},  {.begin = 256, .count = 1}};
  for (const int32_t group : {1, 3, 7, 32, 71}) {
    for (const int32_t threads : {1, 2, 3, 16}) {
      AttentionPlan plan(/*kv_head_count=*/2, group, threads);
      plan.Build(slices);
      const auto covered = Covered(plan, threads);
      EXPECT_TRUE(std::ranges::all_of(covered, [](const auto& item) { return item.second == 1; }));
      for (size_t i = 0; i < slices.size(); ++i) {
        for (int32_t row = 0; row < slices[i].count; ++row) {
          const int32_t position = slices[i].begin + row;
          for (int32_t head = 0; head < 2 * group; ++head) {
            for (int32_t split = 0; split <= position / 256; ++split) {
              EXPECT_TRUE(covered.contains({static_cast<int32_t>(i), row, head, split}));
            }
          }
        }
      }
      ASSERT_EQ(plan.partial_rows().size(), 2u);
      EXPECT_EQ(plan.partial_rows()[0].slice, 1);
      EXPECT_EQ(plan.partial_rows()[0].split_begin, 0);
      EXPECT_EQ(plan.partial_rows()[0].split_end, 3);
      EXPECT_EQ(plan.partial_rows()[1].slice, 5);
    }
  }
}

TEST(AttentionPlanTest, SharesOneDecodingRowOut) {
  const Slice slice = {.begin = 1000, .count = 1};
  AttentionPlan plan(/*kv_head_count=*/3, /*group=*/3, /*thread_count=*/2);
  plan.Build({&slice, 1});

  const auto first = static_cast<double>(plan.UnitsOf(0).size());
  const auto second = static_cast<double>(plan.UnitsOf(1).size());

  EXPECT_NEAR(first / (first + second), 0.5, 0.05);
}

TEST(AttentionPlanTest, SharesAPromptByCostNotByRows) {
  const Slice slice = {.begin = 0, .count = 512};
  AttentionPlan plan(/*kv_head_count=*/1, /*group=*/1, /*thread_count=*/2);
  plan.Build({&slice, 1});

  // Half of the cost of a triangle lies in its first 1 / sqrt(2).
  EXPECT_NEAR(static_cast<double>(plan.UnitsOf(0).size()), 16 * 0.7, 1);
  EXPECT_EQ(plan.UnitsOf(0).size() + plan.UnitsOf(1).size(), 16u);
}

TEST(AttentionPlanTest, FewUnitsGoToDifferentThreads) {
  const Slice slice = {.begin = 0, .count = 2};  // one unit for each KV head
  AttentionPlan plan(/*kv_head_count=*/2, /*group=*/1, /*thread_count=*/8);
  plan.Build({&slice, 1});
  for (int32_t thread = 0; thread < 8; ++thread) EXPECT_LE(plan.UnitsOf(thread).size(), 1u);
}

TEST(AttentionPlanTest, AnEmptyPlanIsFine) {
  AttentionPlan plan(1, 1, 2);
  plan.Build({});
  EXPECT_TRUE(plan.UnitsOf(0).empty());
  EXPECT_TRUE(plan.UnitsOf(1).empty());
}

}  // namespace
}  // namespace spillway
