#include "server/http/pace.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr absl::Time kBegin = absl::UnixEpoch();
constexpr PaceLimits kLimits = {.grace = absl::Seconds(10),
                                .bytes_per_s_min = 100,
                                .stall_max = absl::Seconds(8),
                                .time_max = absl::Seconds(60)};

TEST(PaceTest, StallEndsIt) {
  Pace pace(kLimits, kBegin);
  EXPECT_EQ(pace.deadline(), kBegin + absl::Seconds(8));
  pace.Progress(1'000'000, kBegin + absl::Seconds(5));
  EXPECT_EQ(pace.deadline(), kBegin + absl::Seconds(13));
  pace.Progress(0, kBegin + absl::Seconds(6));
  EXPECT_EQ(pace.deadline(), kBegin + absl::Seconds(13));
}

TEST(PaceTest, DripEndsWhenItsRateIsTooLow) {
  Pace pace(kLimits, kBegin);
  pace.Progress(50, kBegin + absl::Seconds(7));
  EXPECT_EQ(pace.deadline(), kBegin + absl::Seconds(10.5));
  pace.Progress(50, kBegin + absl::Seconds(10));
  EXPECT_EQ(pace.deadline(), kBegin + absl::Seconds(11));
}

TEST(PaceTest, NothingTakesLongerThanTheLongestTime) {
  Pace pace(kLimits, kBegin);
  pace.Progress(1'000'000, kBegin + absl::Seconds(59));
  EXPECT_EQ(pace.deadline(), kBegin + absl::Seconds(60));
}

}  // namespace
}  // namespace spillway
