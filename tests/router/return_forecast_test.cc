#include "router/return_forecast.h"

#include <string>

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
  forecast.OnReady(kNow, "a");
  EXPECT_FALSE(forecast.ExpectedBack(kNow)) << "it is there";
  forecast.OnLost(kNow + absl::Minutes(1));
  forecast.OnLost(kNow + absl::Minutes(2));  // no news
  EXPECT_TRUE(forecast.ExpectedBack(kNow + absl::Minutes(1) + absl::Milliseconds(4999)));
  EXPECT_FALSE(forecast.ExpectedBack(kNow + absl::Minutes(1) + absl::Seconds(5)));
  forecast.OnReady(kNow + absl::Minutes(3), "b");
  EXPECT_FALSE(forecast.ExpectedBack(kNow + absl::Minutes(3)));
}

TEST(ReturnForecast, ACrashLoopIsNotExpectedUntilARunIsLong) {
  ReturnForecast forecast(kLimits);
  absl::Time now = kNow;
  int processes = 0;
  const auto run = [&](absl::Duration length) {
    forecast.OnReady(now, std::to_string(++processes));
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

TEST(ReturnForecast, AProcessThatComesBackHasNotCrashed) {
  ReturnForecast forecast(kLimits);
  absl::Time now = kNow;
  for (int i = 0; i < 8; ++i) {
    forecast.OnReady(now, "a");
    now += absl::Seconds(1);
    forecast.OnLost(now);
    EXPECT_TRUE(forecast.ExpectedBack(now)) << i;
  }
  forecast.OnReady(now, "b");
  forecast.OnLost(now);
  EXPECT_FALSE(forecast.ExpectedBack(now)) << "two processes, and both ran for less than 10 s";
}

TEST(ReturnForecast, OneThatDoesNotNameItsProcessIsAnotherEachTime) {
  ReturnForecast forecast(kLimits);
  forecast.OnReady(kNow, "");
  forecast.OnLost(kNow);
  forecast.OnReady(kNow, "");
  forecast.OnLost(kNow);
  EXPECT_FALSE(forecast.ExpectedBack(kNow));
}

}  // namespace
}  // namespace spillway
