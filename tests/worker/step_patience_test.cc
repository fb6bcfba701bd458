#include "worker/step_patience.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

StepWork WorkOf(int64_t begin, int64_t count) {
  StepWork work;
  work.Add(begin, count);
  return work;
}

// A machine of so many tokens a second, on which prompts of `chunk` tokens a step were computed.
StepPatience After(int64_t tokens_per_s, int64_t chunk, int steps) {
  StepPatience patience({});
  for (int i = 0; i < steps; ++i) {
    patience.Observe(WorkOf(0, chunk), absl::Seconds(chunk) / tokens_per_s);
  }
  return patience;
}

TEST(StepPatienceTest, BeforeAnyMeasureEachTokenHasItsTime) {
  const StepPatience patience({.unmeasured_token = absl::Seconds(10)});
  EXPECT_EQ(patience.For(WorkOf(0, 512)), absl::Seconds(5120));
}

TEST(StepPatienceTest, AStepMayTakeManyTimesWhatItsWorkTook) {
  const StepPatience patience = After(/*tokens_per_s=*/100, /*chunk=*/512, /*steps=*/5);
  const absl::Duration of_chunk = patience.For(WorkOf(0, 512));
  EXPECT_GE(of_chunk, 20 * absl::Milliseconds(5120) * 0.99);
  EXPECT_LE(of_chunk, 60 * absl::Milliseconds(5120));
}

TEST(StepPatienceTest, AChunkIsNotMeasuredByShortSteps) {
  // One token in 2 s: the first chunk of 512 may take 1,000 s, and more.
  const StepPatience patience = After(/*tokens_per_s=*/1, /*chunk=*/2, /*steps=*/5);
  EXPECT_GT(patience.For(WorkOf(0, 512)), absl::Seconds(1000));
}

}  // namespace
}  // namespace spillway
