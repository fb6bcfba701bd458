// One rule of scheduler/scheduler.h per test, at the smallest scale that shows it.

#include "scheduler/scheduler.h"

#include "tests/scheduler/scheduler_fixture.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr SequenceId kFirst{1};
constexpr SequenceId kSecond{2};
constexpr SequenceId kThird{3};

TEST(SchedulerTest, SplitsAPromptOverSteps) {
  SchedulerFixture f({.step_tokens_max = 8, .block_tokens = 4});
  f.Add(kFirst, Tokens(10));

  const StepPlan& plan = f.Plan();

  ASSERT_THAT(plan.slices, ElementsAre(SliceIs(kFirst, 0, 8)));
  EXPECT_FALSE(plan.slices[0].samples);
  f.Complete();
  ASSERT_THAT(f.Plan().slices, ElementsAre(SliceIs(kFirst, 8, 2)));
  EXPECT_TRUE(plan.slices[0].samples);
}

TEST(SchedulerTest, TellsASlicesTokensAndBlocks) {
  SchedulerFixture f({.block_tokens = 4});
  f.Add(kFirst, {5, 6, 7, 8, 9});
  const StepSlice& slice = f.Plan().slices.at(0);
  EXPECT_THAT(slice.tokens, ElementsAre(5, 6, 7, 8, 9));
  EXPECT_EQ(slice.blocks.size(), 2u);
  f.Complete();
  EXPECT_THAT(f.Plan().slices.at(0).tokens, ElementsAre(SchedulerFixture::kSampled));
}

TEST(SchedulerTest, DecodesGoBeforePrefill) {
  SchedulerFixture f({.step_tokens_max = 8, .block_tokens = 4});
  f.Add(kFirst, Tokens(4));
  f.Steps(1);
  f.Add(kSecond, Tokens(20, 100), {.priority = 1});

  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kFirst, 4, 1), SliceIs(kSecond, 0, 4)));
}

TEST(SchedulerTest, NoMoreRunThanAStepHasTokens) {
  SchedulerFixture f({.running_max = 8, .step_tokens_max = 2, .block_tokens = 4});
  for (const SequenceId id : {kFirst, kSecond, kThird}) f.Add(id, Tokens(1));
  f.Steps(2);
  EXPECT_EQ(f.scheduler.load().running, 2);
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kFirst, 2, 1), SliceIs(kSecond, 2, 1)));
}

TEST(SchedulerTest, EndsAfterNewTokensMax) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(8), {.new_tokens_max = 2});
  f.Plan();
  EXPECT_THAT(f.Complete(), IsEmpty());
  f.Plan();
  EXPECT_THAT(f.Complete(), ElementsAre(kFirst));
  EXPECT_THAT(f.Plan().slices, IsEmpty());
}

TEST(SchedulerTest, SaysHowASequenceEnded) {
  Scheduler scheduler({});
  const std::vector<TokenId> prompt = Tokens(3);
  for (const SequenceId id : {kFirst, kSecond}) {
    ASSERT_TRUE(scheduler.Add({.id = id, .prompt = prompt, .new_tokens_max = 1}).ok());
  }
  scheduler.PlanStep(kStart);
  const SampledSlice sampled[] = {{.token = 1, .stop = true}, {.token = 1}};
  const auto finished = scheduler.CompleteStep(sampled);
  ASSERT_EQ(finished.size(), 2u);
  EXPECT_EQ(finished[0].end, SequenceEnd::kStopped);
  EXPECT_EQ(finished[1].end, SequenceEnd::kLength);
}

TEST(SchedulerTest, RefusesWhatExceedsTheContext) {
  Scheduler scheduler({.sequence_tokens_max = 20});
  const std::vector<TokenId> prompt = Tokens(16);
  EXPECT_TRUE(scheduler.Add({.id = kFirst, .prompt = prompt, .new_tokens_max = 4}).ok());
  const absl::Status status = scheduler.Add({.id = kSecond, .prompt = prompt, .new_tokens_max = 5});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("20 tokens of the context"));
}

TEST(SchedulerTest, RefusesWhatCouldNeverHaveItsBlocks) {
  Scheduler scheduler({.block_tokens = 4, .block_count = 4});
  const std::vector<TokenId> prompt = Tokens(15);
  // The last token's KV is never needed: 16 of 17 tokens fit.
  EXPECT_TRUE(scheduler.Add({.id = kFirst, .prompt = prompt, .new_tokens_max = 2}).ok());
  EXPECT_EQ(scheduler.Add({.id = kSecond, .prompt = prompt, .new_tokens_max = 3}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SchedulerTest, RefusesBeyondWaitingMaxAndTakesAgainLater) {
  Scheduler scheduler({.waiting_max = 1});
  const std::vector<TokenId> prompt = Tokens(4);
  const SequenceSpec second{.id = kSecond, .prompt = prompt, .new_tokens_max = 1};
  ASSERT_TRUE(scheduler.Add({.id = kFirst, .prompt = prompt, .new_tokens_max = 1}).ok());
  EXPECT_EQ(scheduler.Add(second).code(), absl::StatusCode::kResourceExhausted);
  scheduler.PlanStep(kStart);
  EXPECT_TRUE(scheduler.Add(second).ok());
}

TEST(SchedulerTest, StartsByPriorityThenArrival) {
  SchedulerFixture f({.running_max = 2});
  f.Add(kFirst, Tokens(4));
  f.Add(kSecond, Tokens(4));
  f.Add(kThird, Tokens(4), {.priority = 1});
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kThird, 0), StartIs(kFirst, 0)));
}

TEST(SchedulerTest, BigOneAtTheHeadOfTheLineIsNotOvertaken) {
  SchedulerFixture f({.block_tokens = 4, .block_count = 8});
  f.Add(kFirst, Tokens(16), {.new_tokens_max = 3});
  f.Steps(1);
  f.Add(kSecond, Tokens(24, 100), {.new_tokens_max = 3});  // Six blocks; three are free.
  f.Add(kThird, Tokens(4, 200));
  EXPECT_THAT(f.Plan().started, IsEmpty());
}

TEST(SchedulerTest, ExpiresTheWaitingAndTheRunning) {
  SchedulerFixture f({.running_max = 1});
  f.Add(kFirst, Tokens(4), {.deadline = kStart + absl::Seconds(1)});
  f.Add(kSecond, Tokens(4), {.deadline = kStart + absl::Seconds(1)});
  f.Add(kThird, Tokens(4), {.deadline = kStart + absl::Seconds(9)});
  f.Steps(1);
  EXPECT_THAT(f.Plan(absl::Seconds(1)).expired, IsEmpty());  // At the deadline it may still come.
  f.Complete();

  const StepPlan& plan = f.Plan(absl::Milliseconds(1001));

  EXPECT_THAT(plan.expired, ElementsAre(kFirst, kSecond));
  EXPECT_THAT(plan.started, ElementsAre(StartIs(kThird, 0)));
  f.Complete();
  EXPECT_THAT(f.Plan(absl::Seconds(10)).expired, ElementsAre(kThird));
  EXPECT_EQ(f.scheduler.load().blocks_free, f.scheduler.load().blocks_total);
}

TEST(SchedulerTest, CancelFreesBlocksAtOnceAndIgnoresTheUnknown) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(40));
  f.Plan();
  f.scheduler.Cancel(kFirst);
  f.scheduler.Cancel(kSecond);
  EXPECT_EQ(f.scheduler.load().blocks_free, f.scheduler.load().blocks_total);
  EXPECT_THAT(f.Complete(), IsEmpty());
}

TEST(SchedulerTest, AnIdMayBeUsedAgainWhileItsOldSliceIsInFlight) {
  SchedulerFixture f({});
  f.Add(kFirst, Tokens(4));
  f.Plan();
  f.scheduler.Cancel(kFirst);
  f.Add(kFirst, Tokens(6, 50));
  EXPECT_THAT(f.Complete({0}), IsEmpty());  // The old one's stop.
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kFirst, 0, 6)));
}

TEST(SchedulerTest, LoadCountsBlocksAndSequences) {
  SchedulerFixture f({.running_max = 1, .block_tokens = 4, .block_count = 10});
  f.Add(kFirst, Tokens(9));
  f.Add(kSecond, Tokens(5, 50));
  f.Plan();
  const SchedulerLoad load = f.scheduler.load();
  EXPECT_EQ(load.running, 1);
  EXPECT_EQ(load.waiting, 1);
  EXPECT_EQ(load.waiting_prompt_tokens, 5);
  EXPECT_EQ(load.blocks_free, 7);
  EXPECT_EQ(load.blocks_total, 10);
}

}  // namespace
}  // namespace spillway
