#include "worker/hang_detector.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kPatience = absl::Seconds(60);

class HangDetectorTest : public ::testing::Test {
 protected:
  // Looks after another `passed`; how long the engine has hung, zero where it doesn't.
  absl::Duration Look(uint64_t turn, absl::Duration passed = kTick) {
    now_ += passed;
    return detector_.Look({.turn = turn, .patience = kPatience}, now_)
        .value_or(absl::ZeroDuration());
  }

  HangDetector detector_{kTick};
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(HangDetectorTest, NoSignForLongerThanAllowedIsAHang) {
  EXPECT_EQ(Look(0), absl::ZeroDuration());
  for (int i = 0; i < 60; ++i) EXPECT_EQ(Look(0), absl::ZeroDuration()) << i;
  EXPECT_EQ(Look(0), absl::Seconds(61));
}

TEST_F(HangDetectorTest, EachSignBeginsAnew) {
  for (uint64_t turn = 0; turn < 10; ++turn) {
    for (int i = 0; i < 50; ++i) EXPECT_EQ(Look(turn), absl::ZeroDuration());
  }
}

TEST_F(HangDetectorTest, ALongStepIsWaitedFor) {
  for (int i = 0; i < 1000; ++i) {
    now_ += kTick;
    EXPECT_FALSE(detector_.Look({.turn = 1, .patience = absl::Seconds(1000)}, now_).has_value());
  }
}

TEST_F(HangDetectorTest, AProcessThatWasStoppedIsNotHung) {
  EXPECT_EQ(Look(0), absl::ZeroDuration());
  EXPECT_EQ(Look(0, absl::Hours(10)), absl::ZeroDuration());
  for (int i = 0; i < 58; ++i) EXPECT_EQ(Look(0), absl::ZeroDuration()) << i;
  EXPECT_EQ(Look(0), absl::Seconds(61));
}

}  // namespace
}  // namespace spillway
