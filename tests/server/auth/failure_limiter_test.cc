#include "server/auth/failure_limiter.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr absl::Time kNow = absl::UnixEpoch();

IpAddress Address(const std::string& text) { return ParseIpAddress(text).value(); }

TEST(FailureLimiterTest, WaitsAfterTheLastPermittedFailure) {
  FailureLimiter limiter({.failures_per_minute = 3});
  const IpAddress client = Address("1.2.3.4");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(limiter.WaitBefore(client, "token", kNow), absl::ZeroDuration());
    EXPECT_EQ(limiter.OnFailure(client, kNow), i == 2);
  }
  EXPECT_EQ(limiter.WaitBefore(client, "token", kNow), absl::Seconds(20));
  EXPECT_EQ(limiter.WaitBefore(client, "token", kNow + absl::Seconds(15)), absl::Seconds(5));
  EXPECT_EQ(limiter.WaitBefore(client, "token", kNow + absl::Seconds(20)), absl::ZeroDuration());
  EXPECT_EQ(limiter.WaitBefore(Address("1.2.3.5"), "token", kNow), absl::ZeroDuration());
}

TEST(FailureLimiterTest, NeverMoreThanTheRateInTheLongRun) {
  FailureLimiter limiter({.failures_per_minute = 6});
  const IpAddress client = Address("1.2.3.4");
  int looked_at = 0;
  int told = 0;
  for (int second = 0; second < 600; ++second) {
    const absl::Time now = kNow + absl::Seconds(second);
    if (limiter.WaitBefore(client, "guess", now) > absl::ZeroDuration()) continue;
    ++looked_at;
    told += limiter.OnFailure(client, now);
  }
  EXPECT_LE(looked_at, 6 + 60);
  EXPECT_GE(looked_at, 60);
  EXPECT_LE(told, 11);
}

TEST(FailureLimiterTest, WhoCameInBeforeComesInStill) {
  FailureLimiter limiter({.failures_per_minute = 3, .known_tokens_max = 2});
  const IpAddress client = Address("1.2.3.4");
  limiter.OnSuccess(client, "first", kNow);
  limiter.OnSuccess(client, "second", kNow);
  limiter.OnSuccess(client, "first", kNow);
  limiter.OnSuccess(client, "third", kNow);  // forgets the second
  for (int i = 0; i < 5; ++i) limiter.OnFailure(client, kNow);
  EXPECT_EQ(limiter.WaitBefore(client, "first", kNow), absl::ZeroDuration());
  EXPECT_EQ(limiter.WaitBefore(client, "third", kNow), absl::ZeroDuration());
  EXPECT_GT(limiter.WaitBefore(client, "second", kNow), absl::ZeroDuration());
  limiter.OnFailure(Address("5.6.7.8"), kNow);
  for (int i = 0; i < 3; ++i) limiter.OnFailure(Address("5.6.7.8"), kNow);
  EXPECT_GT(limiter.WaitBefore(Address("5.6.7.8"), "first", kNow), absl::ZeroDuration());
}

TEST(FailureLimiterTest, NetworkOfVersion6IsOneClient) {
  FailureLimiter limiter({.failures_per_minute = 1});
  limiter.OnFailure(Address("2001:db8::1"), kNow);
  EXPECT_GT(limiter.WaitBefore(Address("2001:db8::2"), "t", kNow), absl::ZeroDuration());
  EXPECT_EQ(limiter.WaitBefore(Address("2001:db8:0:1::1"), "t", kNow), absl::ZeroDuration());
}

TEST(FailureLimiterTest, RemembersSoManyNetworksAndForgetsTheQuietest) {
  FailureLimiter limiter({.failures_per_minute = 1, .networks_max = 3});
  const IpAddress quiet = Address("10.0.0.1");
  const IpAddress loud = Address("10.0.0.2");
  limiter.OnFailure(quiet, kNow);
  limiter.OnFailure(loud, kNow);
  for (int i = 3; i < 20; ++i) {
    limiter.OnFailure(Address("10.0.0." + std::to_string(i)), kNow);
    EXPECT_GT(limiter.WaitBefore(loud, "t", kNow), absl::ZeroDuration());
    EXPECT_LE(limiter.networks(), 3u);
  }
  EXPECT_EQ(limiter.WaitBefore(quiet, "t", kNow), absl::ZeroDuration());
}

}  // namespace
}  // namespace spillway
