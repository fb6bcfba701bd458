#include "router/providers/provider_rate.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
constexpr absl::Duration kSlot = ProviderRate::kSlot;

ProviderRateLimits Limits(int64_t requests, int64_t tokens) {
  return {.requests_per_minute = requests,
          .tokens_per_minute = tokens,
          .arrival_jitter = absl::ZeroDuration()};
}

TEST(ProviderRateTest, ASixtiethOfTheRequestsInASecond) {
  ProviderRate rate(Limits(120, 0));
  EXPECT_TRUE(rate.Take(0, kNow).allowed);
  EXPECT_TRUE(rate.Take(0, kNow).allowed);
  const RateDecision third = rate.Take(0, kNow);
  EXPECT_FALSE(third.allowed);
  EXPECT_EQ(third.reason, "requests_per_second");
  EXPECT_EQ(third.retry_at, kNow + absl::Seconds(1) + kSlot);
  EXPECT_FALSE(rate.Take(0, third.retry_at - kSlot).allowed);
  EXPECT_TRUE(rate.Take(0, third.retry_at).allowed);
}

TEST(ProviderRateTest, AtLeastOneRequestInASecondAndNotMoreThanTheMinutes) {
  ProviderRate rate(Limits(3, 0));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rate.Take(0, kNow + i * absl::Seconds(2)).allowed);
  const RateDecision fourth = rate.Take(0, kNow + absl::Seconds(6));
  EXPECT_EQ(fourth.reason, "requests_per_minute");
  EXPECT_EQ(fourth.retry_at, kNow + absl::Minutes(1) + kSlot);
}

TEST(ProviderRateTest, TokensAreSettledWhereTheyStillCount) {
  ProviderRate rate(Limits(0, 60000));
  const RateDecision first = rate.Take(900, kNow);
  EXPECT_FALSE(rate.Take(200, kNow).allowed);
  EXPECT_EQ(rate.Take(200, kNow).reason, "tokens_per_second");
  rate.Settle(first.ticket, 800, kNow);
  EXPECT_TRUE(rate.Take(200, kNow).allowed);
  EXPECT_FALSE(rate.Take(1, kNow).allowed);
  rate.Settle(first.ticket, 0, kNow + absl::Minutes(5));
  EXPECT_EQ(rate.slots(), 0u);
}

TEST(ProviderRateTest, WhatWasNeverSentCountsForNothing) {
  ProviderRate rate(Limits(60, 0));
  const RateDecision first = rate.Take(0, kNow);
  EXPECT_FALSE(rate.Take(0, kNow).allowed);
  rate.GiveBack(first.ticket, kNow);
  EXPECT_TRUE(rate.Take(0, kNow).allowed);
}

TEST(ProviderRateTest, WhatIsLargerThanAWindowPassesWhereTheWindowIsEmpty) {
  ProviderRate rate(Limits(0, 600));
  EXPECT_TRUE(rate.Take(5000, kNow).allowed);
  const RateDecision next = rate.Take(5000, kNow);
  EXPECT_EQ(next.retry_at, kNow + absl::Minutes(1) + kSlot);
  EXPECT_TRUE(rate.Take(5000, next.retry_at).allowed);
}

TEST(ProviderRateTest, WithoutLimitsEverythingPassesAndLittleIsKept) {
  ProviderRate rate(Limits(0, 0));
  for (int i = 0; i < 200000; ++i) {
    ASSERT_TRUE(rate.Take(1 << 20, kNow + i * absl::Milliseconds(1)).allowed);
    ASSERT_LE(rate.slots(), ProviderRate::kSlotsMax);
  }
}

TEST(ProviderRateTest, AClockThatGoesBackStandsStill) {
  ProviderRate rate(Limits(60, 0));
  EXPECT_TRUE(rate.Take(0, kNow).allowed);
  EXPECT_FALSE(rate.Take(0, kNow - absl::Hours(1)).allowed);
  EXPECT_TRUE(rate.Take(0, kNow + absl::Seconds(2)).allowed);
}

// A provider that counts exactly, and requests that take up to the jitter to get there.
class ProviderRateSimulation : public testing::TestWithParam<uint64_t> {};

TEST_P(ProviderRateSimulation, NoWindowOfTheProvidersIsEverOverfull) {
  std::mt19937_64 random(GetParam());
  const auto below = [&random](int64_t bound) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(bound));
  };
  const int64_t requests_max = below(4) == 0 ? 0 : 60 + below(600);
  const int64_t tokens_max = below(4) == 0 ? 0 : 6000 + below(60000);
  const absl::Duration jitter = absl::Milliseconds(100);
  ProviderRate rate({requests_max, tokens_max, jitter});
  struct Arrival {
    absl::Time at;
    int64_t tokens;
  };
  std::vector<Arrival> arrivals;
  absl::Time now = kNow;
  int refusals = 0;
  const absl::Duration pace = absl::Milliseconds(1 + below(400));
  for (int i = 0; i < 3000; ++i) {
    now += pace * (static_cast<double>(below(1000)) / 500);
    const int64_t tokens = 1 + below(tokens_max == 0 ? 1000 : tokens_max / 60);
    const RateDecision decision = rate.Take(tokens, now);
    if (!decision.allowed) {
      ++refusals;
      ASSERT_GT(decision.retry_at, now);
      if (below(3) > 0) continue;
      now = decision.retry_at;  // nothing else came meanwhile: it must pass
      const RateDecision again = rate.Take(tokens, now);
      ASSERT_TRUE(again.allowed) << i << " " << again.reason;
      arrivals.push_back({now + below(101) * absl::Milliseconds(1), tokens});
      continue;
    }
    arrivals.push_back({now + below(101) * absl::Milliseconds(1), tokens});
    if (below(4) > 0) continue;
    const int64_t used = below(tokens) + 1;  // it came to less
    rate.Settle(decision.ticket, used, now);
    arrivals.back().tokens = used;
  }
  std::sort(arrivals.begin(), arrivals.end(),
            [](const Arrival& a, const Arrival& b) { return a.at < b.at; });
  for (const auto& [length, share] : {std::pair(absl::Minutes(1), 1), {absl::Seconds(1), 60}}) {
    int64_t count = 0;
    int64_t tokens = 0;
    size_t first = 0;
    for (const Arrival& arrival : arrivals) {
      ++count;
      tokens += arrival.tokens;
      while (arrivals[first].at <= arrival.at - length) {
        --count;
        tokens -= arrivals[first++].tokens;
      }
      if (requests_max > 0) {
        ASSERT_LE(count, requests_max / share) << length;
      }
      if (tokens_max > 0 && count > 1) {
        ASSERT_LE(tokens, tokens_max / share) << length;
      }
    }
  }
  if (requests_max > 0 && pace < absl::Milliseconds(80)) {
    EXPECT_GT(refusals, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ProviderRateSimulation, testing::Range<uint64_t>(0, 60));

}  // namespace
}  // namespace spillway
