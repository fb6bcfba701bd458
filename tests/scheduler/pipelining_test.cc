// Planning a step while the one before it runs.

#include "tests/scheduler/scheduler_fixture.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr SequenceId kFirst{1};
constexpr SequenceId kSecond{2};

TEST(PipeliningTest, PlansOnWithTheTokenPending) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(4));
  f.Plan();

  const StepSlice slice = f.Plan().slices.at(0);

  EXPECT_THAT(slice, SliceIs(kFirst, 4, 1));
  EXPECT_TRUE(slice.last_token_pending);
  EXPECT_THAT(slice.tokens, IsEmpty());
  EXPECT_TRUE(slice.samples);
  EXPECT_EQ(f.scheduler.plans_in_flight(), 2);
}

TEST(PipeliningTest, PendingTokenIsKnownOnceItsPlanHasCompleted) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(4));
  f.Plan();
  f.Complete();
  const StepSlice slice = f.Plan().slices.at(0);
  EXPECT_FALSE(slice.last_token_pending);
  EXPECT_THAT(slice.tokens, ElementsAre(SchedulerFixture::kSampled));
}

TEST(PipeliningTest, IsNotPlannedBeyondItsLastSample) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(4), {.new_tokens_max = 1});
  f.Plan();
  EXPECT_THAT(f.Plan().slices, IsEmpty());
  EXPECT_EQ(f.scheduler.plans_in_flight(), 1);
}

TEST(PipeliningTest, SliceAfterAStopCountsForNothing) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(4));
  f.Plan();
  f.Plan();
  EXPECT_THAT(f.Complete({0}), ElementsAre(kFirst));
  EXPECT_THAT(f.Complete(), IsEmpty());
}

TEST(PipeliningTest, SlotOfAStoppedSequenceWaitsForItsLastSlice) {
  SchedulerFixture f({.running_max = 1});
  f.Add(kFirst, Tokens(4));
  f.Add(kSecond, Tokens(4, 50));
  f.Plan();
  f.Plan();
  f.Complete({0});
  EXPECT_THAT(f.Plan().slices, IsEmpty());  // kFirst's second slice is still in flight.
  f.Complete();
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kSecond, 0, 4)));
}

TEST(PipeliningTest, CancelWithTwoPlansInFlight) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(4));
  f.Add(kSecond, Tokens(4, 50));
  f.Plan();
  f.Plan();
  f.scheduler.Cancel(kFirst);
  EXPECT_THAT(f.Complete({1}), ElementsAre(kSecond));
  EXPECT_THAT(f.Complete(), IsEmpty());
  EXPECT_EQ(f.scheduler.load().blocks_free, f.scheduler.load().blocks_total);
}

TEST(PipeliningTest, PreemptedWithASampleInFlightMayEndWhileItWaits) {
  SchedulerFixture f({.running_max = 1});
  f.Add(kFirst, Tokens(4));
  f.Plan();
  f.Add(kSecond, Tokens(4, 50), {.priority = 1});
  ASSERT_THAT(f.Plan().preempted, ElementsAre(kFirst));
  EXPECT_THAT(f.Complete({0}), ElementsAre(kFirst));
  EXPECT_EQ(f.scheduler.load().waiting, 1);  // kSecond: the slot was still in flight.
}

TEST(PipeliningTest, DoesNotRestartBeforeItsSampleIsBack) {
  SchedulerFixture f({.running_max = 1, .prefix_cache = false});
  f.Add(kFirst, Tokens(4));
  f.Plan();
  f.Add(kSecond, Tokens(4, 50), {.priority = 1});
  ASSERT_THAT(f.Plan().preempted, ElementsAre(kFirst));
  f.scheduler.Cancel(kSecond);
  EXPECT_THAT(f.Plan().slices, IsEmpty());
  f.Complete();
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kFirst, 0, 5)));
}

TEST(PipeliningDeathTest, AThirdPlanInFlightIsOurOwnBug) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(4));
  f.Plan();
  f.Plan();
  EXPECT_DEATH(f.Plan(), "kPlansInFlightMax");
}

}  // namespace
}  // namespace spillway
