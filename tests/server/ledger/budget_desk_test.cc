#include "server/ledger/budget_desk.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_store.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BudgetDeskTest : public ::testing::Test {
 protected:
  void MakeDesk(BudgetLimits limits = {}) {
    desk_ = std::make_unique<BudgetDesk>(limits, clock_, metrics_, store_);
  }
  void Reserve(const std::string& id, int64_t nano) {
    desk_->Reserve({.id = id,
                    .currency = "CNY",
                    .amount_nano = nano,
                    .limits = {{.currency = "CNY", .limit_nano = 100}}},
                   [this, id](std::optional<MoneyRefusal> refusal) {
                     heard_.push_back(id + (refusal ? " refused" : " reserved"));
                     why_ = refusal ? refusal->message : "";
                     if (refusal) reason_ = refusal->reason;
                   });
  }

  ManualClock clock_;
  MetricRegistry metrics_;
  FakeStore store_;
  std::vector<std::string> heard_;
  std::string why_;
  MoneyRefusal::Reason reason_ = MoneyRefusal::Reason::kOverBudget;
  std::unique_ptr<BudgetDesk> desk_;  // tells the above of its end
};

TEST_F(BudgetDeskTest, ReservesInOrderWhatThereIsInOneWrite) {
  MakeDesk();
  Reserve("a", 60);
  Reserve("b", 60);
  Reserve("c", 40);
  EXPECT_TRUE(heard_.empty());
  desk_->WorkOnce();
  EXPECT_THAT(heard_, ElementsAre("a reserved", "b refused", "c reserved"));
  EXPECT_EQ(store_.reserve_calls, 1);
}

TEST_F(BudgetDeskTest, WhatWasNotNeededCanBeHadAgainAtOnce) {
  MakeDesk();
  Reserve("a", 100);
  desk_->WorkOnce();
  desk_->Settle("a", 30);
  Reserve("b", 70);
  desk_->WorkOnce();
  EXPECT_THAT(heard_, ElementsAre("a reserved", "b reserved"));
  EXPECT_EQ(store_.spent_nano, 30);
}

TEST_F(BudgetDeskTest, WhatCantBeWrittenIsRefused) {
  MakeDesk();
  store_.full = true;
  Reserve("a", 1);
  desk_->WorkOnce();
  EXPECT_THAT(heard_, ElementsAre("a refused"));
  EXPECT_EQ(reason_, MoneyRefusal::Reason::kStoreFailed);
  EXPECT_THAT(why_, HasSubstr("nothing is spent: disk full"));
  EXPECT_TRUE(store_.reserved.empty());
}

TEST_F(BudgetDeskTest, SettlementsWaitUntilTheStoreTakesThemAndCountOnce) {
  MakeDesk();
  Reserve("a", 50);
  desk_->WorkOnce();
  store_.full = true;
  desk_->Settle("a", 20);
  desk_->WorkOnce();
  desk_->WorkOnce();
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_budget_unsettled 1\n"));
  store_.full = false;
  desk_->WorkOnce();
  desk_->Settle("a", 20);
  desk_->WorkOnce();
  EXPECT_EQ(store_.spent_nano, 20);
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_budget_unsettled 0\n"));
}

TEST_F(BudgetDeskTest, WhatNobodySettlesIsSpentInFull) {
  MakeDesk({.reservation_life = absl::Minutes(30)});
  Reserve("a", 50);
  desk_->WorkOnce();
  clock_.Advance(absl::Minutes(29));
  desk_->WorkOnce();
  EXPECT_EQ(store_.spent_nano, 0);
  clock_.Advance(absl::Minutes(2));
  desk_->WorkOnce();
  EXPECT_EQ(store_.spent_nano, 50);
  desk_->Settle("a", 1);  // Too late.
  desk_->WorkOnce();
  EXPECT_EQ(store_.spent_nano, 50);
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_budget_expired_total 1\n"));
}

TEST_F(BudgetDeskTest, TakesNoMoreAsksThanItsLimit) {
  MakeDesk({.asks_max = 1});
  Reserve("a", 1);
  Reserve("b", 1);
  EXPECT_THAT(heard_, ElementsAre("b refused"));
  EXPECT_EQ(reason_, MoneyRefusal::Reason::kStoreFailed);
}

TEST_F(BudgetDeskTest, AtItsEndItAnswersWhoWaitsAndWritesWhatItKnows) {
  MakeDesk();
  Reserve("a", 50);
  desk_->WorkOnce();
  desk_->Settle("a", 20);
  Reserve("b", 1);
  desk_.reset();
  EXPECT_THAT(heard_, ElementsAre("a reserved", "b refused"));
  EXPECT_EQ(store_.spent_nano, 20);
}

}  // namespace
}  // namespace spillway
