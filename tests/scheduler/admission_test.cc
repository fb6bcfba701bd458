#include "scheduler/admission.h"

#include "tests/scheduler/scheduler_fixture.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr SequenceId kFirst{1};
constexpr SequenceId kSecond{2};
constexpr SequenceId kThird{3};

TEST(AdmissionTest, LeavesABlockForEachThatRuns) {
  SchedulerFixture f({.block_tokens = 4, .block_count = 4});
  f.Add(kFirst, Tokens(6));
  f.Steps(1);
  f.Add(kSecond, Tokens(8, 50));  // Fits into what is free to the last block.
  EXPECT_THAT(f.Plan().started, IsEmpty());
  f.Complete();
  f.scheduler.Cancel(kSecond);
  f.Add(kThird, Tokens(4, 50));
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kThird, 0)));
}

TEST(AdmissionTest, StartsOnlyWhatGetsAWholeBlockBehindAPrefill) {
  SchedulerFixture f({.step_tokens_max = 15, .block_tokens = 4});
  f.Add(kFirst, Tokens(12));
  f.Add(kSecond, Tokens(9, 50));
  f.Add(kThird, Tokens(3, 90));
  EXPECT_THAT(f.Plan().started, ElementsAre(StartIs(kFirst, 0)));
}

TEST(AdmissionTest, StartsWhatIsSmallerThanABlockBehindAPrefill) {
  SchedulerFixture f({.step_tokens_max = 15, .block_tokens = 4});
  f.Add(kFirst, Tokens(12));
  f.Add(kThird, Tokens(3, 90));
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kFirst, 0, 12), SliceIs(kThird, 0, 3)));
}

TEST(AdmissionTest, AHigherPrioritysPrefillGoesBeforeOneThatRuns) {
  SchedulerFixture f({.step_tokens_max = 8, .block_tokens = 4});
  f.Add(kFirst, Tokens(40));
  f.Steps(1);
  f.Add(kSecond, Tokens(6, 50), {.priority = 1});
  EXPECT_THAT(f.Plan().slices, ElementsAre(SliceIs(kSecond, 0, 6)));
}

TEST(AdmissionTest, DecodesOfLowerPriorityGoWhenTheyHoldTheWholeBudget) {
  SchedulerFixture f({.running_max = 8, .step_tokens_max = 2, .block_tokens = 4});
  f.Add(kFirst, Tokens(1));
  f.Add(kSecond, Tokens(1, 50));
  f.Steps(2);
  f.Add(kThird, Tokens(4, 90), {.priority = 1});
  const StepPlan& plan = f.Plan();
  EXPECT_THAT(plan.preempted, ElementsAre(kSecond));
  EXPECT_THAT(plan.slices, ElementsAre(SliceIs(kFirst, 2, 1), SliceIs(kThird, 0, 1)));
}

TEST(AdmissionTest, NobodyRunsWithoutATokenInTheBudget) {
  SchedulerFixture f({.running_max = 3, .step_tokens_max = 2, .block_tokens = 4});
  f.Add(kFirst, Tokens(20));
  f.Steps(1);
  f.Add(kSecond, Tokens(1, 50), {.priority = 1});
  f.Add(kThird, Tokens(1, 90), {.priority = 1});
  EXPECT_THAT(f.Plan().preempted, ElementsAre(kFirst));
}

// No calls of the scheduler are known that get here: slots in flight and preempted_in_plan stand in
// the way. The executor relies on it all the same: it reads a pending token from the slot that
// sampled it.
TEST(AdmissionTest, DoesNotStartWithASampleInFlight) {
  SchedulerState state({});
  const std::vector<TokenId> prompt = Tokens(4);
  Sequence& sequence =
      state.sequences.Create({.id = kFirst, .prompt = prompt, .new_tokens_max = 4}, 1);
  state.waiting.Push(sequence);
  StepPlan plan;
  state.plans_made = 1;
  sequence.samples_pending = 1;
  StartWaiting(state, kStart, plan);
  EXPECT_THAT(plan.started, IsEmpty());
  sequence.samples_pending = 0;
  StartWaiting(state, kStart, plan);
  EXPECT_THAT(plan.started, ElementsAre(StartIs(kFirst, 0)));
}

}  // namespace
}  // namespace spillway
