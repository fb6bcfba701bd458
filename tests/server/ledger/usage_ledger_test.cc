#include "server/ledger/usage_ledger.h"

#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "router/token_quota.h"
#include "tests/support/fake_store.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

class UsageLedgerTest : public ::testing::Test {
 protected:
  UsageLedger MakeLedger(LedgerLimits limits = {}) {
    return UsageLedger(limits, "me", clock_, metrics_, store_);
  }
  bool Shows(const std::string& line) const {
    return metrics_.Scrape().find(line + "\n") != std::string::npos;
  }

  static RequestSummary Finished(std::string_view token_id = "tok_1") {
    return {.token_id = token_id,
            .service = "big",
            .outcome = "finished",
            .billed = {.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 5}};
  }

  ManualClock clock_;
  MetricRegistry metrics_;
  FakeStore store_;
};

TEST_F(UsageLedgerTest, SumsUpByTokenServiceUpstreamAndMinute) {
  UsageLedger ledger = MakeLedger();
  ledger.OnRequestEnd(Finished());
  ledger.OnRequestEnd(Finished());
  RequestSummary spilled = Finished("tok_2");
  spilled.provider = "bailian";
  spilled.currency = "CNY";
  spilled.cost_nano = 7;
  ledger.OnRequestEnd(spilled);
  EXPECT_TRUE(ledger.WriteOnce());
  clock_.Advance(absl::Minutes(1));
  ledger.OnRequestEnd(Finished());
  EXPECT_TRUE(ledger.WriteOnce());
  const int64_t minute = absl::ToUnixSeconds(clock_.WallNow()) / 60;
  ASSERT_EQ(store_.written.size(), 3u);
  EXPECT_EQ((store_.written[{"tok_1", "big", "local", "", minute - 1}]),
            (UsageCounts{
                .requests = 2, .prompt_tokens = 20, .cached_tokens = 8, .completion_tokens = 10}));
  EXPECT_EQ((store_.written[{"tok_2", "big", "bailian", "CNY", minute - 1}].cost_nano), 7);
  EXPECT_EQ((store_.written[{"tok_1", "big", "local", "", minute}].requests), 1);
}

TEST_F(UsageLedgerTest, WhatWasToldAsItHappenedIsNotCountedAgainAtTheEnd) {
  UsageLedger ledger = MakeLedger();
  ledger.OnProgress(
      {.token_id = "tok_1",
       .service = "big",
       .delivered = {.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 2}});
  ledger.WriteOnce();
  EXPECT_EQ(store_.Sum().completion_tokens, 2);
  EXPECT_EQ(store_.Sum().requests, 0);
  RequestSummary summary = Finished();
  summary.told = {.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 2};
  ledger.OnRequestEnd(summary);
  ledger.WriteOnce();
  EXPECT_EQ(store_.Sum(),
            (UsageCounts{
                .requests = 1, .prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 5}));
}

TEST_F(UsageLedgerTest, FailuresAreNotRequestsButAClientThatLeavesIs) {
  UsageLedger ledger = MakeLedger();
  ledger.OnRequestEnd({.token_id = "a", .service = "none", .http_status = 404});
  ledger.OnRequestEnd({.token_id = "a", .service = "big", .http_status = 499});
  ledger.WriteOnce();
  EXPECT_EQ(store_.Sum(), (UsageCounts{.requests = 1, .failures = 1}));
}

TEST_F(UsageLedgerTest, WhatCantBeWrittenIsKeptAndWrittenLater) {
  UsageLedger ledger = MakeLedger();
  store_.full = true;
  ledger.OnRequestEnd(Finished());
  EXPECT_FALSE(ledger.WriteOnce());
  ledger.OnRequestEnd(Finished());
  EXPECT_FALSE(ledger.WriteOnce());
  EXPECT_TRUE(Shows("spillway_ledger_unwritten_rows 2"));
  EXPECT_TRUE(Shows("spillway_ledger_write_failures_total 2"));
  store_.full = false;
  EXPECT_TRUE(ledger.WriteOnce());
  EXPECT_TRUE(ledger.WriteOnce());
  EXPECT_EQ(store_.Sum().requests, 2);
  EXPECT_TRUE(Shows("spillway_ledger_unwritten_rows 0"));
}

TEST_F(UsageLedgerTest, AWriteThatFailedAfterItWasDoneIsNotDoneTwice) {
  UsageLedger ledger = MakeLedger();
  store_.says_it_failed = true;
  ledger.OnRequestEnd(Finished());
  EXPECT_FALSE(ledger.WriteOnce());
  ledger.OnRequestEnd(Finished());
  EXPECT_FALSE(ledger.WriteOnce());
  store_.says_it_failed = false;
  EXPECT_TRUE(ledger.WriteOnce());
  EXPECT_TRUE(ledger.WriteOnce());
  EXPECT_EQ(store_.Sum().requests, 2);
}

TEST_F(UsageLedgerTest, KeepsNoMoreThanItsLimitAndSaysWhatIsLost) {
  UsageLedger ledger = MakeLedger({.rows_max = 2});
  store_.full = true;
  for (const char* token : {"a", "b", "c", "a"}) ledger.OnRequestEnd(Finished(token));
  EXPECT_TRUE(Shows("spillway_ledger_lost_total 1"));
  store_.full = false;
  EXPECT_TRUE(ledger.WriteOnce());
  EXPECT_EQ(store_.Sum().requests, 3);
}

TEST_F(UsageLedgerTest, WritesAtItsEndWhatIsLeft) {
  {
    UsageLedger ledger = MakeLedger();
    store_.full = true;
    ledger.OnRequestEnd(Finished());
    ledger.WriteOnce();
    ledger.OnRequestEnd(Finished());
    store_.full = false;
  }
  EXPECT_EQ(store_.Sum().requests, 2);
}

TEST_F(UsageLedgerTest, KnowsTheDayAndTheCostsBeforeIt) {
  const int64_t today = DayOf(clock_.WallNow());
  store_.entries = {
      {.day = today - 1, .token_id = "a", .counts = {.requests = 9, .cost_nano = 100}},
      {.day = today,
       .token_id = "a",
       .counts = {.requests = 2, .prompt_tokens = 30, .completion_tokens = 4, .cost_nano = 5}}};
  UsageLedger ledger = MakeLedger();
  ASSERT_TRUE(ledger.Load().ok());
  EXPECT_EQ(ledger.past().at("a").requests, 2);
  EXPECT_EQ(ledger.past().at("a").prompt_tokens, 30);
  RequestSummary spilled = Finished("a");
  spilled.cost_nano = 20;
  ledger.OnRequestEnd(spilled);
  EXPECT_EQ(ledger.CostOf("a", today, today), 25);
  EXPECT_EQ(ledger.CostOf("a", today - 1, today), 125);
  EXPECT_EQ(ledger.CostOf("b", 0, today), 0);
}

}  // namespace
}  // namespace spillway
