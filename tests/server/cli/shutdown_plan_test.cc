#include "server/cli/shutdown_plan.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

const absl::Time kStart = absl::UnixEpoch();

absl::Time At(double seconds) { return kStart + absl::Seconds(seconds); }

TEST(ShutdownPlanTest, TerminateDelaysDrainsAndStops) {
  ShutdownPlan plan(absl::Seconds(5), absl::Seconds(30));
  plan.OnTick(At(0), /*idle=*/true);
  EXPECT_EQ(plan.phase(), ServingPhase::kServing);
  plan.OnTerminate(At(10));
  EXPECT_EQ(plan.phase(), ServingPhase::kDelaying);
  EXPECT_EQ(plan.next_tick(), At(15));
  plan.OnTick(At(14.9), /*idle=*/true);
  EXPECT_EQ(plan.phase(), ServingPhase::kDelaying);
  plan.OnTick(At(15), /*idle=*/false);
  EXPECT_EQ(plan.phase(), ServingPhase::kDraining);
  EXPECT_EQ(plan.next_tick(), At(45));
  plan.OnTick(At(44.9), /*idle=*/false);
  EXPECT_EQ(plan.phase(), ServingPhase::kDraining);
  plan.OnTick(At(45), /*idle=*/false);
  EXPECT_EQ(plan.phase(), ServingPhase::kStopped);
}

TEST(ShutdownPlanTest, IdleServerStopsAtOnceWhenDraining) {
  ShutdownPlan plan(absl::ZeroDuration(), absl::Seconds(30));
  plan.OnTerminate(At(0));
  plan.OnTick(At(0), /*idle=*/true);
  EXPECT_EQ(plan.phase(), ServingPhase::kStopped);
}

TEST(ShutdownPlanTest, InterruptSkipsTheDelay) {
  ShutdownPlan plan(absl::Seconds(5), absl::Seconds(30));
  plan.OnInterrupt(At(0));
  EXPECT_EQ(plan.phase(), ServingPhase::kDraining);
}

TEST(ShutdownPlanTest, FurtherSignalsSkipWhatIsWaitedFor) {
  ShutdownPlan plan(absl::Seconds(5), absl::Seconds(30));
  plan.OnTerminate(At(0));
  plan.OnTerminate(At(1));
  EXPECT_EQ(plan.phase(), ServingPhase::kDraining);
  EXPECT_EQ(plan.next_tick(), At(31));
  plan.OnInterrupt(At(2));
  EXPECT_EQ(plan.phase(), ServingPhase::kStopped);
}

}  // namespace
}  // namespace spillway
