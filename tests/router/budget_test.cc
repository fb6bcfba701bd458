#include "router/budget.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

const absl::Time kWall = absl::FromUnixSeconds(1'700'000'000);  // 2023-11-14 22:13:20 UTC
constexpr int64_t kUnit = 1'000'000'000;

MoneyLimit Limit(int64_t units, MoneyLimit::Period period = MoneyLimit::Period::kDay) {
  return {.name = "tok_1", .period = period, .currency = "CNY", .limit_nano = units * kUnit};
}

MoneyAsk Ask(int64_t units, std::vector<MoneyLimit> limits) {
  return {.id = "r1",
          .provider = "bailian",
          .currency = "CNY",
          .amount_nano = units * kUnit,
          .limits = std::move(limits)};
}

TEST(BudgetTest, WhatFitsIsGivenToTheLastNano) {
  const MoneyAsk ask = Ask(3, {Limit(10)});
  EXPECT_FALSE(DecideMoney(ask, std::vector<MoneyUsed>{{4 * kUnit, 3 * kUnit}}, kWall));
  EXPECT_TRUE(DecideMoney(ask, std::vector<MoneyUsed>{{4 * kUnit, 3 * kUnit + 1}}, kWall));
  EXPECT_TRUE(DecideMoney(ask, std::vector<MoneyUsed>{{4 * kUnit + 1, 3 * kUnit}}, kWall));
}

TEST(BudgetTest, ARefusalTellsAllNumbersAndWhenThePeriodEnds) {
  const auto refusal =
      DecideMoney(Ask(3, {Limit(10)}), std::vector<MoneyUsed>{{8 * kUnit, 0}}, kWall);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->reason, MoneyRefusal::Reason::kOverBudget);
  EXPECT_EQ(refusal->message,
            "the budget of token tok_1 for the day is 10.00 CNY: spent 8.00, reserved 0.00, this "
            "may cost 3.00");
  EXPECT_EQ(refusal->free_in, absl::Seconds(6400));
  const auto month = DecideMoney(Ask(3, {Limit(10, MoneyLimit::Period::kMonth)}),
                                 std::vector<MoneyUsed>{{8 * kUnit, 0}}, kWall);
  EXPECT_EQ(month->free_in, absl::Seconds(6400) + 16 * absl::Hours(24));
}

TEST(BudgetTest, AllLimitsMustHaveRoomAndTheWorstIsTold) {
  const MoneyAsk ask = Ask(3, {Limit(10), Limit(10, MoneyLimit::Period::kMonth), Limit(2)});
  const auto month = DecideMoney(Ask(3, {Limit(10), Limit(10, MoneyLimit::Period::kMonth)}),
                                 std::vector<MoneyUsed>{{9 * kUnit, 0}, {9 * kUnit, 0}}, kWall);
  EXPECT_THAT(month->message, HasSubstr("for the month"));
  const auto never =
      DecideMoney(ask, std::vector<MoneyUsed>{{9 * kUnit, 0}, {9 * kUnit, 0}, {0, 0}}, kWall);
  EXPECT_THAT(never->message, HasSubstr("is 2.00 CNY"));
  EXPECT_EQ(never->free_in, absl::ZeroDuration());
  EXPECT_FALSE(DecideMoney(Ask(3, {}), {}, kWall));
}

TEST(BudgetTest, MoneyOfAnotherCurrencyIsNoMoney) {
  MoneyAsk ask = Ask(1, {Limit(10)});
  ask.currency = "USD";
  const auto refusal = DecideMoney(ask, std::vector<MoneyUsed>{{0, 0}}, kWall);
  EXPECT_EQ(refusal->reason, MoneyRefusal::Reason::kOtherCurrency);
  EXPECT_THAT(refusal->message, HasSubstr("is in CNY, but the price of provider bailian in USD"));
}

TEST(BudgetTest, SumsThatWouldOverflowDontFit) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  MoneyAsk ask = Ask(0, {Limit(10)});
  ask.amount_nano = kMost;
  EXPECT_TRUE(DecideMoney(ask, std::vector<MoneyUsed>{{0, 0}}, kWall));
  EXPECT_TRUE(DecideMoney(Ask(1, {Limit(10)}), std::vector<MoneyUsed>{{kMost, kMost}}, kWall));
}

TEST(BudgetTest, PeriodsAreTheCalendars) {
  const auto day = MoneyLimit::Period::kDay;
  const auto month = MoneyLimit::Period::kMonth;
  EXPECT_EQ(PeriodIndex(day, kWall), 19675);
  EXPECT_EQ(PeriodIndex(month, kWall), 2023 * 12 + 10);
  EXPECT_EQ(PeriodIndex(month, kWall + 16 * absl::Hours(24)), 2023 * 12 + 10);
  EXPECT_EQ(PeriodIndex(month, kWall + 17 * absl::Hours(24)), 2023 * 12 + 11);
}

}  // namespace
}  // namespace spillway
