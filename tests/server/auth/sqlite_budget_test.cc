#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/auth/sqlite_store.h"

namespace spillway {
namespace {

const absl::Time kWall = absl::FromUnixSeconds(1'700'000'000);  // 2023-11-14
constexpr absl::Duration kDay = absl::Hours(24);

class SqliteBudgetTest : public ::testing::Test {
 protected:
  SqliteBudgetTest() {
    std::string pattern = ::testing::TempDir() + "/budget_test_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~SqliteBudgetTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Store> Open() const {
    return OpenSqliteStore({.path = folder_ + "/spillway.db"}).value();
  }
  static MoneyLimit Limit(MoneyLimit::Period period, int64_t nano = 1000,
                          MoneyLimit::Scope scope = MoneyLimit::Scope::kToken,
                          const std::string& name = "tok_1") {
    return {.scope = scope, .name = name, .period = period, .currency = "CNY", .limit_nano = nano};
  }
  static MoneyAsk Ask(const std::string& id, int64_t nano, std::vector<MoneyLimit> limits = {}) {
    return {.id = id,
            .token_id = "tok_1",
            .service = "big",
            .provider = "bailian",
            .currency = "CNY",
            .amount_nano = nano,
            .limits = std::move(limits)};
  }
  static bool Reserve(Store& store, const MoneyAsk& ask, absl::Time wall = kWall) {
    const auto answers = store.ReserveMoney({&ask, 1}, wall);
    EXPECT_TRUE(answers.ok()) << answers.status();
    return answers.ok() && !answers->front();
  }
  static void Settle(Store& store, const std::string& id, int64_t cost) {
    const MoneySettlement settlement = {id, cost};
    EXPECT_TRUE(store.SettleMoney({&settlement, 1}).ok());
  }
  static std::pair<int64_t, int64_t> Used(const Store& store, const MoneyLimit& limit,
                                          absl::Time wall = kWall) {
    const MoneyUsed used = *store.UsedMoney(limit, wall);
    return {used.spent_nano, used.reserved_nano};
  }

  const MoneyLimit day_ = Limit(MoneyLimit::Period::kDay);
  const MoneyLimit month_ = Limit(MoneyLimit::Period::kMonth);
  std::string folder_;
};

using Pair = std::pair<int64_t, int64_t>;

TEST_F(SqliteBudgetTest, ReservationsAndSpendingSurviveARestart) {
  {
    auto store = Open();
    EXPECT_TRUE(Reserve(*store, Ask("a", 600, {day_, month_})));
    EXPECT_FALSE(Reserve(*store, Ask("b", 600, {day_, month_})));
    EXPECT_TRUE(Reserve(*store, Ask("c", 400, {day_, month_})));
    Settle(*store, "a", 100);
  }
  auto store = Open();
  EXPECT_EQ(Used(*store, day_), Pair(100, 400));
  EXPECT_EQ(Used(*store, month_), Pair(100, 400));
  EXPECT_TRUE(Reserve(*store, Ask("d", 500, {day_})));
}

TEST_F(SqliteBudgetTest, SettlingTwiceOrWhatIsUnknownChangesNothing) {
  auto store = Open();
  EXPECT_TRUE(Reserve(*store, Ask("a", 600)));
  for (int i = 0; i < 3; ++i) Settle(*store, "a", 700);  // More than was reserved is counted.
  Settle(*store, "nobody", 5);
  EXPECT_EQ(Used(*store, day_), Pair(700, 0));
  EXPECT_EQ(Used(*store, month_), Pair(700, 0));
}

TEST_F(SqliteBudgetTest, MoneyBelongsToTheDayThatItWasReservedIn) {
  auto store = Open();
  EXPECT_TRUE(Reserve(*store, Ask("a", 900, {day_, month_})));
  const absl::Time tomorrow = kWall + kDay;
  EXPECT_TRUE(Reserve(*store, Ask("b", 100, {day_}), tomorrow));
  EXPECT_FALSE(Reserve(*store, Ask("c", 100, {month_}), tomorrow));
  Settle(*store, "a", 50);
  EXPECT_EQ(Used(*store, day_), Pair(50, 0));
  EXPECT_EQ(Used(*store, day_, tomorrow), Pair(0, 100));
  EXPECT_EQ(Used(*store, month_, tomorrow), Pair(50, 100));
  EXPECT_EQ(Used(*store, month_, kWall + 30 * kDay), Pair(0, 0));
}

TEST_F(SqliteBudgetTest, TokensServicesAndCurrenciesAreApart) {
  auto store = Open();
  EXPECT_TRUE(Reserve(*store, Ask("a", 10)));
  MoneyAsk other = Ask("b", 20);
  other.token_id = "tok_2";
  EXPECT_TRUE(Reserve(*store, other));
  MoneyAsk dollars = Ask("c", 40);
  dollars.currency = "USD";
  EXPECT_TRUE(Reserve(*store, dollars));
  EXPECT_EQ(Used(*store, day_), Pair(0, 10));
  EXPECT_EQ(Used(*store, Limit(MoneyLimit::Period::kDay, 1, MoneyLimit::Scope::kService, "big")),
            Pair(0, 30));
}

TEST_F(SqliteBudgetTest, WhatExpiresIsSpentInFullInItsOwnDay) {
  auto store = Open();
  EXPECT_TRUE(Reserve(*store, Ask("old", 600)));
  EXPECT_TRUE(Reserve(*store, Ask("new", 30), kWall + kDay));
  EXPECT_EQ(*store->ExpireMoney(kWall + absl::Hours(1)), 1);
  EXPECT_EQ(*store->ExpireMoney(kWall + absl::Hours(1)), 0);
  EXPECT_EQ(Used(*store, day_), Pair(600, 0));
  EXPECT_EQ(Used(*store, day_, kWall + kDay), Pair(0, 30));
  EXPECT_EQ(Used(*store, month_), Pair(600, 30));
}

TEST_F(SqliteBudgetTest, TwoServersOnOneStoreSpendOneBudget) {
  auto one = Open();
  auto two = Open();
  EXPECT_TRUE(Reserve(*one, Ask("a", 600, {day_})));
  EXPECT_FALSE(Reserve(*two, Ask("b", 600, {day_})));
}

TEST_F(SqliteBudgetTest, AnIdThatIsTakenReservesNothingForTheWholeBatch) {
  auto store = Open();
  EXPECT_TRUE(Reserve(*store, Ask("a", 1)));
  const std::vector<MoneyAsk> asks = {Ask("b", 1), Ask("a", 1)};
  EXPECT_FALSE(store->ReserveMoney(asks, kWall).ok());
  EXPECT_EQ(Used(*store, day_), Pair(0, 1));
}

// A process that spends, kept for killing: says what it has done, never what it will do but for the
// settlement that is next.
[[noreturn]] void SpendForEver(const std::string& path, int pipe, uint64_t seed) {
  const auto store = OpenSqliteStore({.path = path}).value();
  std::mt19937_64 random(seed);
  const auto say = [pipe](const std::string& line) {
    if (::write(pipe, line.data(), line.size()) < 0) ::_exit(1);
  };
  for (uint64_t i = 0;; ++i) {
    const MoneyAsk ask = {.id = absl::StrCat(seed, "-", i),
                          .token_id = "tok_1",
                          .service = "big",
                          .provider = "bailian",
                          .currency = "CNY",
                          .amount_nano = static_cast<int64_t>(random() % 1000)};
    if (!store->ReserveMoney({&ask, 1}, kWall).ok()) ::_exit(1);
    say(absl::StrCat("reserved ", ask.id, " ", ask.amount_nano, "\n"));
    if (random() % 4 == 0) continue;  // Its end is never known.
    const MoneySettlement settlement = {ask.id, static_cast<int64_t>(random() % 1000)};
    say(absl::StrCat("settling ", ask.id, " ", settlement.cost_nano, "\n"));
    if (!store->SettleMoney({&settlement, 1}).ok()) ::_exit(1);
    say(absl::StrCat("settled ", ask.id, " 0\n"));
  }
}

std::string ReadAll(int pipe) {
  std::string all;
  char buffer[4096];
  for (ssize_t got; (got = ::read(pipe, buffer, sizeof(buffer))) > 0;) {
    all.append(buffer, static_cast<size_t>(got));
  }
  return all;
}

// SPILLWAY_LEDGER_KILLS says how many kills: 20, in --full 200.
TEST_F(SqliteBudgetTest, KilledAtAnyMomentItLosesNoReservationAndCountsNothingTwice) {
  const char* kills_text = std::getenv("SPILLWAY_LEDGER_KILLS");
  const int kills = kills_text == nullptr ? 20 : std::atoi(kills_text);
  const std::string path = folder_ + "/spillway.db";
  std::mt19937_64 random(20261121);
  Pair before = Used(*Open(), day_);
  for (int kill = 0; kill < kills; ++kill) {
    SCOPED_TRACE(kill);
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(pipe[0]);
      SpendForEver(path, pipe[1], static_cast<uint64_t>(kill) + 1);
    }
    ::close(pipe[1]);
    std::string heard;
    const size_t enough = 1 + random() % 1000;  // bytes
    for (char c; heard.size() < enough && ::read(pipe[0], &c, 1) == 1;) heard += c;
    ::kill(child, SIGKILL);
    heard += ReadAll(pipe[0]);
    ::close(pipe[0]);
    ::waitpid(child, nullptr, 0);

    // What must be there, and what may: the step after the last word.
    int64_t reserved = 0;
    int64_t spent = 0;
    std::map<std::string, int64_t> amounts;
    Pair settling = {0, 0};  // reserved, cost
    bool in_doubt = false;
    std::istringstream lines(heard);
    std::string word;
    std::string id;
    for (int64_t nano = 0; lines >> word >> id >> nano;) {
      if (word == "reserved") {
        amounts[id] = nano;
        reserved += nano;
      } else if (word == "settling") {
        settling = {amounts[id], nano};
        in_doubt = true;
      } else {
        reserved -= settling.first;
        spent += settling.second;
        in_doubt = false;
      }
    }
    const Pair after = Used(*Open(), day_);
    EXPECT_EQ(Used(*Open(), month_), after);
    const Pair gained = {after.first - before.first, after.second - before.second};
    before = after;
    if (in_doubt && gained.first == spent + settling.second &&
        gained.second == reserved - settling.first) {
      continue;  // The settlement was written, but not told.
    }
    EXPECT_EQ(gained.first, spent);
    // One more may be reserved than was told.
    EXPECT_GE(gained.second, reserved);
    EXPECT_LT(gained.second, reserved + 1000);
  }
}

}  // namespace
}  // namespace spillway
