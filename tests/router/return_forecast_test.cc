#include "router/return_forecast.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
constexpr ReturnLimits kLimits = {
    .return_max = absl::Seconds(5), .stable_after = absl::Seconds(10), .short_runs_max = 2};

TEST(ReturnForecast, OneThatNeverServedIsNotExpected) {
  ReturnForecast forecast(kLimits);
  EXPECT_FALSE(forecast.ExpectedBack(kNow));
  forecast.OnLost(kNow);
  EXPECT_FALSE(forecast.ExpectedBack(kNow));
}

TEST(ReturnForecast, ALostOneIsExpectedForAWhile) {
  ReturnForecast forecast(kLimits);
  forecast.OnReady(kNow);
  EXPECT_FALSE(forecast.ExpectedBack(kNow)) << "it is there";
  forecast.OnLost(kNow + absl::Minutes(1));
  forecast.OnLost(kNow + absl::Minutes(2));  // no news
  EXPECT_TRUE(forecast.ExpectedBack(kNow + absl::Minutes(1) + absl::Milliseconds(4999)));
  EXPECT_FALSE(forecast.ExpectedBack(kNow + absl::Minutes(1) + absl::Seconds(5)));
  forecast.OnReady(kNow + absl::Minutes(3));
  EXPECT_FALSE(forecast.ExpectedBack(kNow + absl::Minutes(3)));
}

TEST(ReturnForecast, ACrashLoopIsNotExpectedUntilARunIsLong) {
  ReturnForecast forecast(kLimits);
  absl::Time now = kNow;
  const auto run = [&](absl::Duration length) {
    forecast.OnReady(now);
    now += length;
    forecast.OnLost(now);
    return forecast.ExpectedBack(now);
  };
  EXPECT_TRUE(run(absl::Seconds(9)));
  EXPECT_FALSE(run(absl::Seconds(9)));
  EXPECT_FALSE(run(absl::Seconds(9)));
  EXPECT_TRUE(run(absl::Seconds(10)));
  EXPECT_TRUE(run(absl::Seconds(9))) << "the long run forgave those before it";
}

}  // namespace
}  // namespace spillway
