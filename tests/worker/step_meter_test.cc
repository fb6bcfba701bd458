#include "worker/step_meter.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(StepMeterTest, TheFirstStepIsTheAverage) {
  StepMeter meter;
  meter.Record({.took = absl::Milliseconds(20), .prefill_tokens = 0, .decode_tokens = 4});
  EXPECT_DOUBLE_EQ(meter.step_ms(), 20);
  EXPECT_DOUBLE_EQ(meter.decode_tokens_per_s(), 200);
  EXPECT_DOUBLE_EQ(meter.prefill_tokens_per_s(), 0);
}

TEST(StepMeterTest, FollowsAChangeWithinAFewSteps) {
  StepMeter meter;
  meter.Record({.took = absl::Milliseconds(10), .prefill_tokens = 100, .decode_tokens = 0});
  for (int i = 0; i < 40; ++i) {
    meter.Record({.took = absl::Milliseconds(20), .prefill_tokens = 100, .decode_tokens = 0});
  }
  EXPECT_NEAR(meter.step_ms(), 20, 0.1);
  EXPECT_NEAR(meter.prefill_tokens_per_s(), 5000, 30);
  EXPECT_EQ(meter.steps(), 41u);
}

TEST(StepMeterTest, AStepThatTookNoTimeChangesNoAverage) {
  StepMeter meter;
  meter.Record({.took = absl::ZeroDuration(), .prefill_tokens = 5, .decode_tokens = 5});
  EXPECT_DOUBLE_EQ(meter.step_ms(), 0);
  EXPECT_EQ(meter.steps(), 1u);
}

}  // namespace
}  // namespace spillway
