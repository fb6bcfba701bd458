#include "common/status_macros.h"

#include <memory>

#include "gtest/gtest.h"

namespace spillway {
namespace {

absl::Status FirstError(const absl::Status& status, int& reached) {
  RETURN_IF_ERROR(status);
  ++reached;
  return absl::OkStatus();
}

TEST(StatusMacrosTest, ReturnIfErrorReturnsTheErrorOnly) {
  int reached = 0;
  EXPECT_EQ(FirstError(absl::NotFoundError("no"), reached), absl::NotFoundError("no"));
  EXPECT_EQ(reached, 0);
  EXPECT_TRUE(FirstError(absl::OkStatus(), reached).ok());
  EXPECT_EQ(reached, 1);
}

absl::StatusOr<int> Sum(absl::StatusOr<int> a, absl::StatusOr<std::unique_ptr<int>> b) {
  ASSIGN_OR_RETURN(const int first, std::move(a));
  ASSIGN_OR_RETURN(const std::unique_ptr<int> second, std::move(b));
  return first + *second;
}

TEST(StatusMacrosTest, AssignOrReturnMovesTheValueOrReturnsTheError) {
  const absl::StatusOr<int> sum = Sum(1, std::make_unique<int>(2));
  ASSERT_TRUE(sum.ok());
  EXPECT_EQ(*sum, 3);
  EXPECT_EQ(Sum(absl::AbortedError("a"), std::make_unique<int>(2)).status(),
            absl::AbortedError("a"));
  EXPECT_EQ(Sum(1, absl::DataLossError("b")).status(), absl::DataLossError("b"));
}

}  // namespace
}  // namespace spillway
