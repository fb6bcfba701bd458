#include "router/token_quota.h"

#include <deque>
#include <random>

#include "gtest/gtest.h"

namespace spillway {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(5000);
const absl::Time kWall = absl::FromUnixSeconds(1'700'000'000);  // 22:13:20 UTC

QuotaShare Taken(const std::variant<QuotaShare, QuotaRefusal>& answer) {
  EXPECT_TRUE(std::holds_alternative<QuotaShare>(answer));
  return std::holds_alternative<QuotaShare>(answer) ? std::get<QuotaShare>(answer) : QuotaShare();
}

QuotaRefusal Refused(const std::variant<QuotaShare, QuotaRefusal>& answer) {
  EXPECT_TRUE(std::holds_alternative<QuotaRefusal>(answer));
  return std::holds_alternative<QuotaRefusal>(answer) ? std::get<QuotaRefusal>(answer)
                                                      : QuotaRefusal();
}

TEST(TokenQuotaTest, WithoutLimitsEverythingGoesAndIsCounted) {
  TokenQuota quota;
  for (int i = 0; i < 1000; ++i) Taken(quota.Reserve({}, {100, 100}, kNow, kWall));
  EXPECT_EQ(quota.in_flight(), 1000);
  const QuotaView view = quota.View({.requests_per_minute = 1500}, kNow, kWall);
  EXPECT_EQ(view.requests->remaining, 500);
}

TEST(TokenQuotaTest, RequestsOfAMinuteAreFreeAMinuteLater) {
  TokenQuota quota;
  const TokenLimits limits = {.requests_per_minute = 2};
  Taken(quota.Reserve(limits, {}, kNow, kWall));
  Taken(quota.Reserve(limits, {}, kNow + absl::Seconds(10), kWall));
  const QuotaRefusal refusal = Refused(quota.Reserve(limits, {}, kNow + absl::Seconds(20), kWall));
  EXPECT_EQ(refusal.what, "requests per minute");
  EXPECT_EQ(refusal.limit, 2);
  EXPECT_EQ(refusal.used, 2);
  EXPECT_FALSE(refusal.daily);
  EXPECT_EQ(refusal.free_in, absl::Seconds(41));  // the end of the first one's second, and 60 s
  Refused(quota.Reserve(limits, {}, kNow + absl::Milliseconds(60'999), kWall));
  Taken(quota.Reserve(limits, {}, kNow + absl::Seconds(61), kWall));
}

TEST(TokenQuotaTest, TokensAreReservedThenCountedAsTheyWere) {
  TokenQuota quota;
  const TokenLimits limits = {.tokens_per_minute = 1000};
  const QuotaShare share = Taken(quota.Reserve(limits, {100, 500}, kNow, kWall));
  EXPECT_EQ(share.tokens, 600);
  EXPECT_EQ(Refused(quota.Reserve(limits, {401, 0}, kNow, kWall)).used, 600);
  quota.Settle(share, 120, kNow + absl::Seconds(3), kWall);
  EXPECT_EQ(quota.View(limits, kNow, kWall).tokens->remaining, 880);
  Taken(quota.Reserve(limits, {880, 0}, kNow + absl::Seconds(3), kWall));
}

TEST(TokenQuotaTest, WhatIsTooLongForTheLimitTakesAllOfItAndStarts) {
  TokenQuota quota;
  const TokenLimits limits = {.tokens_per_minute = 1000};
  const QuotaShare share = Taken(quota.Reserve(limits, {100, 4096}, kNow, kWall));
  EXPECT_EQ(share.tokens, 1000);
  // It turned out longer still: who comes next waits for that.
  quota.Settle(share, 1500, kNow, kWall);
  EXPECT_EQ(Refused(quota.Reserve(limits, {1, 0}, kNow, kWall)).used, 1500);
}

TEST(TokenQuotaTest, APromptOverTheLimitNeverGoes) {
  TokenQuota quota;
  const QuotaRefusal refusal =
      Refused(quota.Reserve({.tokens_per_minute = 1000}, {1001, 0}, kNow, kWall));
  EXPECT_EQ(refusal.free_in, absl::InfiniteDuration());
}

TEST(TokenQuotaTest, ADayIsTheCalendars) {
  TokenQuota quota;
  const TokenLimits limits = {.requests_per_day = 2, .tokens_per_day = 1000};
  quota.AddPast(1, 100, kWall);
  const QuotaShare share = Taken(quota.Reserve(limits, {300, 0}, kNow, kWall));
  const QuotaRefusal refusal = Refused(quota.Reserve(limits, {1, 0}, kNow, kWall));
  EXPECT_EQ(refusal.what, "requests per day");
  EXPECT_TRUE(refusal.daily);
  EXPECT_EQ(refusal.free_in, absl::Seconds(3600 + 46 * 60 + 40));
  EXPECT_EQ(quota.View(limits, kNow, kWall).tokens->remaining, 600);
  const absl::Time tomorrow = kWall + absl::Hours(2);
  // Yesterday's request ends today: it is yesterday's.
  quota.Settle(share, 900, kNow + absl::Hours(2), tomorrow);
  EXPECT_EQ(quota.View(limits, kNow + absl::Hours(2), tomorrow).tokens->remaining, 1000);
  Taken(quota.Reserve(limits, {1, 0}, kNow + absl::Hours(2), tomorrow));
}

TEST(TokenQuotaTest, RequestsAtOnceEndWhenTheySettle) {
  TokenQuota quota;
  const TokenLimits limits = {.concurrency = 1};
  const QuotaShare share = Taken(quota.Reserve(limits, {}, kNow, kWall));
  const QuotaRefusal refusal = Refused(quota.Reserve(limits, {}, kNow, kWall));
  EXPECT_EQ(refusal.what, "requests at once");
  EXPECT_EQ(refusal.free_in, std::nullopt);
  quota.Settle(share, 0, kNow, kWall);
  Taken(quota.Reserve(limits, {}, kNow, kWall));
}

TEST(TokenQuotaTest, OfSeveralLimitsTheOneThatIsFreeLastIsTold) {
  TokenQuota quota;
  const TokenLimits limits = {.requests_per_minute = 1, .requests_per_day = 1};
  Taken(quota.Reserve(limits, {}, kNow, kWall));
  EXPECT_EQ(Refused(quota.Reserve(limits, {}, kNow, kWall)).what, "requests per day");
}

TEST(TokenQuotaTest, ARefusalTakesNothing) {
  TokenQuota quota;
  const TokenLimits limits = {.requests_per_minute = 5, .tokens_per_minute = 10};
  for (int i = 0; i < 20; ++i) Refused(quota.Reserve(limits, {11, 0}, kNow, kWall));
  EXPECT_EQ(quota.View(limits, kNow, kWall).requests->remaining, 5);
  EXPECT_EQ(quota.View(limits, kNow, kWall).tokens->remaining, 10);
  EXPECT_EQ(quota.in_flight(), 0);
}

TEST(TokenQuotaTest, TheViewTellsWhenAllIsFreeAgain) {
  TokenQuota quota;
  const TokenLimits limits = {.requests_per_minute = 10, .tokens_per_day = 100};
  EXPECT_EQ(quota.View(limits, kNow, kWall).requests->reset, absl::ZeroDuration());
  Taken(quota.Reserve(limits, {40, 0}, kNow, kWall));
  const QuotaView view = quota.View(limits, kNow + absl::Seconds(1), kWall);
  EXPECT_EQ(view.requests->limit, 10);
  EXPECT_EQ(view.requests->remaining, 9);
  EXPECT_EQ(view.requests->reset, absl::Seconds(60));
  EXPECT_EQ(view.tokens->remaining, 60);
  EXPECT_EQ(view.tokens->reset, LeftOfDay(kWall));
}

// Against a list of all that happened. Nothing may hold more than the limits say in any 60 seconds,
// nothing may be refused that a window of 61 seconds has room for, and who comes back when told to
// is let through.
TEST(TokenQuotaSimulation, HoldsItsLimitsInEveryMinute) {
  struct Event {
    absl::Time at;
    int64_t tokens;
  };
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto draw = [&random](int64_t below) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(below));
    };
    const TokenLimits limits = {.requests_per_minute = 1 + draw(20),
                                .tokens_per_minute = 100 + draw(2000),
                                .concurrency = draw(3) == 0 ? 1 + draw(5) : 0};
    TokenQuota quota;
    std::deque<Event> events;
    std::deque<std::pair<QuotaShare, size_t>> running;
    absl::Time now = kNow + absl::Milliseconds(draw(1000));
    const auto within = [&](absl::Duration window) {
      std::pair<int64_t, int64_t> sums;
      for (const Event& event : events) {
        if (now - event.at >= window) continue;
        ++sums.first;
        sums.second += event.tokens;
      }
      return sums;
    };
    for (int step = 0; step < 300; ++step) {
      now += absl::Milliseconds(draw(4) == 0 ? draw(30'000) : draw(1500));
      if (!running.empty() && draw(3) == 0) {
        const auto [share, event] = running.front();
        running.pop_front();
        const int64_t tokens = draw(share.tokens + 1);
        quota.Settle(share, tokens, now, kWall);
        events[event].tokens = tokens;
      }
      const TokenDemand demand = {.prompt_tokens = draw(limits.tokens_per_minute + 1),
                                  .completion_tokens = draw(500)};
      const auto answer = quota.Reserve(limits, demand, now, kWall);
      if (const auto* share = std::get_if<QuotaShare>(&answer)) {
        running.emplace_back(*share, events.size());
        events.push_back({now, share->tokens});
        const auto [requests, tokens] = within(absl::Seconds(60));
        ASSERT_LE(requests, limits.requests_per_minute);
        ASSERT_LE(tokens, limits.tokens_per_minute);
        ASSERT_TRUE(limits.concurrency == 0 ||
                    running.size() <= static_cast<size_t>(limits.concurrency));
        continue;
      }
      const QuotaRefusal& refusal = std::get<QuotaRefusal>(answer);
      if (!refusal.free_in) {
        ASSERT_EQ(running.size(), static_cast<size_t>(limits.concurrency));
        continue;
      }
      const auto [requests, tokens] = within(absl::Seconds(61));
      const int64_t used = refusal.what == "requests per minute" ? requests : tokens;
      ASSERT_GT(used + refusal.asked, refusal.limit);
      if (limits.concurrency != 0 && running.size() >= static_cast<size_t>(limits.concurrency)) {
        continue;
      }
      TokenQuota later = quota;
      ASSERT_TRUE(std::holds_alternative<QuotaShare>(
          later.Reserve(limits, demand, now + *refusal.free_in, kWall)));
      TokenQuota sooner = quota;
      ASSERT_TRUE(std::holds_alternative<QuotaRefusal>(
          sooner.Reserve(limits, demand, now + *refusal.free_in - absl::Milliseconds(1), kWall)));
    }
  }
}

}  // namespace
}  // namespace spillway
