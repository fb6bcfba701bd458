#include "common/clock.h"

#include "gtest/gtest.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

TEST(SystemClockTest, NowNeverGoesBack) {
  const SystemClock clock;
  absl::Time last = clock.Now();
  for (int i = 0; i < 1000; ++i) {
    const absl::Time now = clock.Now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(SystemClockTest, WallNowIsACalendar) {
  EXPECT_GT(SystemClock().WallNow(), absl::FromUnixSeconds(1'700'000'000));  // November 2023
}

TEST(ManualClockTest, StandsStillUntilMoved) {
  ManualClock clock;
  const absl::Time start = clock.Now();
  const absl::Time wall_start = clock.WallNow();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(absl::Seconds(3));
  EXPECT_EQ(clock.Now() - start, absl::Seconds(3));
  EXPECT_EQ(clock.WallNow() - wall_start, absl::Seconds(3));
}

TEST(ManualClockTest, AWallJumpLeavesNowAlone) {
  ManualClock clock;
  const absl::Time start = clock.Now();
  const absl::Time wall_start = clock.WallNow();
  clock.JumpWall(-absl::Hours(1));
  EXPECT_EQ(clock.Now(), start);
  EXPECT_EQ(clock.WallNow() - wall_start, -absl::Hours(1));
}

}  // namespace
}  // namespace spillway
