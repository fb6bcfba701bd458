#include "worker/executor_checks.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

TEST(ExecutorChecksTest, AStepHasRoomForATokenOfEachSequence) {
  EXPECT_TRUE(CheckExecutorLimits(4, /*step_tokens_max=*/4, 64, 64).ok());
  for (const absl::Status& status :
       {CheckExecutorLimits(4, /*step_tokens_max=*/3, 64, 64), CheckExecutorLimits(0, 3, 64, 64)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("step_tokens_max 3"));
  }
}

TEST(ExecutorChecksTest, ASequenceFitsTheModelsContext) {
  const absl::Status status = CheckExecutorLimits(4, 4, /*sequence_tokens_max=*/65, 64);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is 65; the model's context has 64 tokens"));
}

}  // namespace
}  // namespace spillway
