#include "common/check.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(CheckTest, TrueDoesNothingAndIsEvaluatedOnce) {
  int evaluations = 0;
  CHECK(++evaluations == 1);
  EXPECT_EQ(evaluations, 1);
}

TEST(CheckDeathTest, FalseStopsInEveryBuildAndSaysWhere) {
  EXPECT_DEATH(CHECK(1 + 1 == 3), "check_test.cc:.*CHECK\\(1 \\+ 1 == 3\\) failed");
}

TEST(CheckTest, IsOneStatement) {
  if (false)
    CHECK(false);
  else
    SUCCEED();
}

}  // namespace
}  // namespace spillway
