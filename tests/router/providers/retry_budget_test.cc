#include "router/providers/retry_budget.h"

#include <random>

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(RetryBudgetTest, ATenthOfTheRequestsAndAFewAtFirst) {
  RetryBudget budget({.percent_of_requests = 10, .retries_min = 2});
  EXPECT_TRUE(budget.TryRetry());
  EXPECT_TRUE(budget.TryRetry());
  EXPECT_FALSE(budget.TryRetry());
  for (int i = 0; i < 9; ++i) budget.OnRequest();
  EXPECT_FALSE(budget.TryRetry());
  budget.OnRequest();
  EXPECT_TRUE(budget.TryRetry());
  EXPECT_FALSE(budget.TryRetry());
}

TEST(RetryBudgetTest, NoMoreIsSavedThanTheFewAtFirst) {
  RetryBudget budget({.percent_of_requests = 10, .retries_min = 2});
  for (int i = 0; i < 1000; ++i) budget.OnRequest();
  int retries = 0;
  while (budget.TryRetry()) ++retries;
  EXPECT_EQ(retries, 2);
}

TEST(RetryBudgetTest, WithoutARetriesMinNoneIsEverHad) {
  RetryBudget budget({.percent_of_requests = 10, .retries_min = 0});
  for (int i = 0; i < 1000; ++i) budget.OnRequest();
  EXPECT_FALSE(budget.TryRetry());
}

TEST(RetryBudgetTest, NeverMoreThanItSaysHoweverTheyMix) {
  std::mt19937_64 random(7);
  RetryBudget budget({.percent_of_requests = 10, .retries_min = 10});
  int requests = 0;
  int retries = 0;
  for (int i = 0; i < 100000; ++i) {
    if (random() % 3 == 0) {
      budget.OnRequest();
      ++requests;
    } else if (budget.TryRetry()) {
      ++retries;
    }
    ASSERT_LE(100 * retries, 1000 + 10 * requests);
  }
  EXPECT_GT(100 * retries, 10 * requests - 100) << "nor less, where they are asked for";
}

}  // namespace
}  // namespace spillway
