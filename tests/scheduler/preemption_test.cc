// Who goes back to waiting when blocks or slots run out, and what becomes of it.

#include "tests/scheduler/scheduler_fixture.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr SequenceId kOld{1};
constexpr SequenceId kYoung{2};
constexpr SequenceId kLatecomer{3};

// Two sequences of two full blocks each, and a spare one: the first decode of the old takes it, the
// young one has none.
SchedulerLimits FiveBlocks() {
  return {.block_tokens = 4, .block_count = 5, .prefix_cache = false};
}

TEST(PreemptionTest, TheLastOneStallsAndKeepsWhatItHas) {
  SchedulerFixture f(FiveBlocks());
  f.Add(kOld, Tokens(8), {.new_tokens_max = 8});
  f.Add(kYoung, Tokens(7, 50), {.new_tokens_max = 8});
  f.Steps(1);

  f.Steps(1);  // Old takes the fifth block; young fills its second.
  const StepPlan& plan = f.Plan();

  EXPECT_THAT(plan.slices, ElementsAre(SliceIs(kOld, 9, 1)));
  EXPECT_THAT(plan.preempted, IsEmpty());
}

TEST(PreemptionTest, TheYoungestGoesWhenAnOlderOneNeedsABlock) {
  SchedulerFixture f(FiveBlocks());
  f.Add(kOld, Tokens(8), {.new_tokens_max = 8});
  f.Add(kYoung, Tokens(7, 50), {.new_tokens_max = 8});
  f.Steps(5);

  const StepPlan& plan = f.Plan();  // Old has filled its third block.

  EXPECT_THAT(plan.preempted, ElementsAre(kYoung));
  EXPECT_THAT(plan.slices, ElementsAre(SliceIs(kOld, 12, 1)));
  EXPECT_EQ(f.scheduler.load().preemptions, 1u);
}

TEST(PreemptionTest, TheLowestPriorityGoesHoweverOld) {
  SchedulerFixture f(FiveBlocks());
  f.Add(kOld, Tokens(7, 50), {.new_tokens_max = 8});
  f.Add(kYoung, Tokens(8), {.new_tokens_max = 8, .priority = 1});
  f.Steps(5);

  EXPECT_THAT(f.Plan().preempted, ElementsAre(kOld));
}

TEST(PreemptionTest, GoesBeforeLaterArrivalsAndIsNotStartedAnew) {
  SchedulerFixture f(FiveBlocks());
  f.Add(kOld, Tokens(8), {.new_tokens_max = 8});
  f.Add(kYoung, Tokens(7, 50), {.new_tokens_max = 8});
  f.Steps(5);
  f.Add(kLatecomer, Tokens(2, 90));
  ASSERT_THAT(f.Plan().preempted, ElementsAre(kYoung));
  f.Complete({0});  // Old ends.

  const StepPlan& plan = f.Plan();

  // Young has 7 + 2 tokens by now; all are computed again.
  EXPECT_THAT(plan.slices, ElementsAre(SliceIs(kYoung, 0, 9), SliceIs(kLatecomer, 0, 2)));
  EXPECT_THAT(plan.started, ElementsAre(StartIs(kLatecomer, 0)));
}

TEST(PreemptionTest, RestartsFromWhatIsStillCached) {
  SchedulerLimits limits = FiveBlocks();
  limits.prefix_cache = true;
  SchedulerFixture f(limits);
  f.Add(kOld, Tokens(8), {.new_tokens_max = 8});
  f.Add(kYoung, Tokens(7, 50), {.new_tokens_max = 8});
  f.Steps(5);
  ASSERT_THAT(f.Plan().preempted, ElementsAre(kYoung));
  f.Complete({0});

  // Old took one of young's two blocks: the tail. 4 of its 9 tokens are left, then the next 4 too
  // only if nobody had taken them.
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kYoung, 4, 5)));
}

TEST(PreemptionTest, ATokenInFlightReachesThePreempted) {
  SchedulerFixture f(FiveBlocks());
  f.Add(kOld, Tokens(8), {.new_tokens_max = 8});
  f.Add(kYoung, Tokens(6, 50), {.new_tokens_max = 8});
  f.Steps(4);
  f.Plan();  // Old decodes position 11; young stalled at 8: it is out of blocks already.
  ASSERT_THAT(f.Plan().preempted, ElementsAre(kYoung));
  f.Complete();
  f.Complete({0});
  // 6 + 3 tokens: prompt, and samples of positions 5, 6 and 7.
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kYoung, 0, 9)));
}

TEST(PreemptionTest, HigherPriorityTakesTheSlotOfALower) {
  SchedulerFixture f({.running_max = 1, .prefix_cache = false});
  f.Add(kOld, Tokens(4));
  f.Steps(1);
  f.Add(kYoung, Tokens(4, 50), {.priority = 1});

  const StepPlan& plan = f.Plan();

  EXPECT_THAT(plan.preempted, ElementsAre(kOld));
  EXPECT_THAT(plan.slices, ElementsAre(SliceIs(kYoung, 0, 4)));
}

TEST(PreemptionTest, EqualPriorityWaits) {
  SchedulerFixture f({.running_max = 1});
  f.Add(kOld, Tokens(4));
  f.Steps(1);
  f.Add(kYoung, Tokens(4, 50));
  EXPECT_THAT(f.Plan().preempted, IsEmpty());
}

TEST(PreemptionTest, NobodyGoesInVain) {
  SchedulerFixture f({.block_tokens = 4, .block_count = 8, .prefix_cache = false});
  f.Add(kOld, Tokens(16), {.new_tokens_max = 8, .priority = 1});
  f.Add(kYoung, Tokens(4, 50), {.new_tokens_max = 8});
  f.Steps(1);
  // Needs 5 blocks and one for kOld's growth; with kYoung's there would be 4.
  f.Add(kLatecomer, Tokens(20, 90), {.new_tokens_max = 8, .priority = 1});
  EXPECT_THAT(f.Plan().preempted, IsEmpty());
}

}  // namespace
}  // namespace spillway
