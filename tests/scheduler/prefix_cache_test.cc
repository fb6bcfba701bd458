// What sequences share, and when.

#include "tests/scheduler/scheduler_fixture.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr SequenceId kFirst{1};
constexpr SequenceId kSecond{2};
constexpr SequenceId kThird{3};

TEST(PrefixCacheTest, ASecondPromptReusesFullBlocks) {
  SchedulerFixture f({.block_tokens = 4});
  f.Add(kFirst, Tokens(10), {.new_tokens_max = 1});
  f.Steps(1);
  f.Add(kSecond, Tokens(12));

  const StepPlan& plan = f.Plan();

  EXPECT_THAT(plan.started, ElementsAre(StartIs(kSecond, 8)));
  EXPECT_THAT(plan.slices, ElementsAre(SliceIs(kSecond, 8, 4)));
  EXPECT_EQ(f.scheduler.load().prefix_query_tokens, 22u);
  EXPECT_EQ(f.scheduler.load().prefix_hit_tokens, 8u);
}

TEST(PrefixCacheTest, TheLastTokenOfAPromptIsAlwaysComputed) {
  SchedulerFixture f({.block_tokens = 4});
  f.Add(kFirst, Tokens(8), {.new_tokens_max = 1});
  f.Steps(1);
  f.Add(kSecond, Tokens(8));
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kSecond, 4, 4)));
}

TEST(PrefixCacheTest, TheNextTurnOfAChatReusesTheAnswer) {
  SchedulerFixture f({.block_tokens = 4});
  f.Add(kFirst, Tokens(3), {.new_tokens_max = 6});
  f.Steps(6);  // 3 prompt tokens and 6 sampled: KV of 8, two full blocks.
  std::vector<TokenId> next_turn = Tokens(3);
  next_turn.resize(9, SchedulerFixture::kSampled);
  next_turn.push_back(42);
  f.Add(kSecond, next_turn);
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kSecond, 8)));
}

TEST(PrefixCacheTest, AnAnswersBlocksAreReusedAlsoWhenPipelined) {
  SchedulerFixture f({.block_tokens = 4});
  f.Add(kFirst, Tokens(3), {.new_tokens_max = 6});
  f.Plan();
  for (int i = 0; i < 5; ++i) {
    f.Plan();
    f.Complete();
  }
  f.Complete();
  std::vector<TokenId> next_turn = Tokens(3);
  next_turn.resize(10, SchedulerFixture::kSampled);
  f.Add(kSecond, next_turn);
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kSecond, 8)));
}

TEST(PrefixCacheTest, WhatAnIgnoredSliceComputedIsNotIndexed) {
  SchedulerFixture f({.block_tokens = 4});
  f.Add(kFirst, Tokens(3));
  f.Plan();
  f.Plan();         // Computes token 3, which would fill the block,
  f.Complete({0});  // but it turns out to be the last.
  f.Complete();
  std::vector<TokenId> next_turn = Tokens(3);
  next_turn.resize(6, SchedulerFixture::kSampled);
  f.Add(kSecond, next_turn);
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kSecond, 0)));
}

TEST(PrefixCacheTest, SaltsDoNotShare) {
  SchedulerFixture f({.block_tokens = 4});
  f.Add(kFirst, Tokens(9), {.new_tokens_max = 1, .cache_salt = 1});
  f.Steps(1);
  f.Add(kSecond, Tokens(9), {.cache_salt = 2});
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kSecond, 0)));
}

TEST(PrefixCacheTest, EqualTokensAfterAnotherPrefixAreNotShared) {
  SchedulerFixture f({.block_tokens = 2});
  f.Add(kFirst, {1, 2, 3, 4, 5}, {.new_tokens_max = 1});
  f.Steps(1);
  f.Add(kSecond, {9, 9, 3, 4, 5});
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kSecond, 0)));
}

TEST(PrefixCacheTest, SwitchedOffSharesNothing) {
  SchedulerFixture f({.block_tokens = 4, .prefix_cache = false});
  f.Add(kFirst, Tokens(9), {.new_tokens_max = 1});
  f.Steps(1);
  f.Add(kSecond, Tokens(9));
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kSecond, 0)));
}

TEST(PrefixCacheTest, BlocksAreSharedFromTheNextPlanOnBeforeResultsAreBack) {
  SchedulerFixture f({.running_max = 4, .step_tokens_max = 16, .block_tokens = 4});
  f.Add(kFirst, Tokens(16));
  f.Add(kSecond, Tokens(16));
  const SlotId slot = f.Plan().slices.at(0).slot;
  ASSERT_EQ(slot, SlotId{0});

  const StepPlan& plan = f.Plan();  // The first plan is still in flight.

  EXPECT_THAT(plan.started, ElementsAre(StartIs(kSecond, 12)));
  EXPECT_THAT(plan.slices, ElementsAre(SliceIs(kFirst, 16, 1), SliceIs(kSecond, 12, 4)));
}

TEST(PrefixCacheTest, APrefillSkipsOverWhatAnotherHasComputedMeanwhile) {
  SchedulerFixture f({.step_tokens_max = 16, .block_tokens = 4, .block_count = 20});
  f.Add(kFirst, Tokens(12));
  f.Add(kSecond, Tokens(12));  // Gets 4 tokens of the first step.
  ASSERT_THAT(f.Plan().slices, ElementsAre(SliceIs(kFirst, 0, 12), SliceIs(kSecond, 0, 4)));
  const int32_t free_before = f.scheduler.load().blocks_free;
  f.Complete();

  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kFirst, 12, 1), SliceIs(kSecond, 8, 4)));
  // Its own second block came back; kFirst took one for its next tokens.
  EXPECT_EQ(f.scheduler.load().blocks_free, free_before);
}

TEST(PrefixCacheTest, LeastRecentlyUsedGoesFirstAndTailsBeforeHeads) {
  SchedulerFixture f({.block_tokens = 4, .block_count = 5});
  f.Add(kFirst, Tokens(9), {.new_tokens_max = 1});  // Two full blocks and a part.
  f.Steps(1);
  f.Add(kSecond, Tokens(13, 50), {.new_tokens_max = 1});  // Takes four: one cached goes, the tail.
  f.Steps(1);
  f.Add(kThird, Tokens(9), {.new_tokens_max = 1});
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kThird, 4)));
}

TEST(PrefixCacheTest, ResetForgetsWhatNobodyUses) {
  SchedulerFixture f({.block_tokens = 4});
  f.Add(kFirst, Tokens(9), {.new_tokens_max = 1});
  f.Steps(1);
  f.Add(kThird, Tokens(9, 50));
  f.Steps(1);

  f.scheduler.ResetPrefixCache();

  f.Add(kSecond, Tokens(9));
  f.Add(SequenceId{4}, Tokens(9, 50));
  EXPECT_THAT(f.Plan().started,
              UnorderedElementsAre(StartIs(kSecond, 0), StartIs(SequenceId{4}, 8)));
}

TEST(PrefixCacheTest, TheLongerCachedPrefixGoesFirstWithinTheAgeLimit) {
  const SchedulerLimits limits = {.running_max = 1, .block_tokens = 4};
  for (const bool aged : {false, true}) {
    SchedulerFixture f(limits);
    f.Add(kFirst, Tokens(9), {.new_tokens_max = 1});
    f.Steps(1);
    f.Add(kSecond, Tokens(9, 50));
    f.Add(kThird, Tokens(9));
    const absl::Duration wait = limits.prefix_bonus_age_max + absl::Milliseconds(aged ? 1 : -1);
    EXPECT_THAT(f.Plan(wait).started, ElementsAre(aged ? StartIs(kSecond, 0) : StartIs(kThird, 8)));
  }
}

}  // namespace
}  // namespace spillway
