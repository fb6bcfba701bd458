#include "worker/kernels/rope_frequencies.h"

#include <cmath>
#include <numbers>

#include "gtest/gtest.h"

namespace spillway {
namespace {

using Kind = RopeScaling::Kind;

TEST(RopeFrequenciesTest, FallGeometricallyFromOneToTheBasesInverse) {
  const Rope rope = MakeRope(10'000, 8);
  ASSERT_EQ(rope.frequencies.size(), 4u);
  EXPECT_DOUBLE_EQ(rope.frequencies[0], 1.0);
  EXPECT_DOUBLE_EQ(rope.frequencies[1], 0.1);
  EXPECT_DOUBLE_EQ(rope.frequencies[3], 0.001);
  EXPECT_EQ(rope.magnitude, 1);
}

TEST(RopeFrequenciesTest, LinearScalingDividesAll) {
  const Rope rope = MakeRope(10'000, 8, {.kind = Kind::kLinear, .factor = 4});
  EXPECT_DOUBLE_EQ(rope.frequencies[0], 0.25);
  EXPECT_DOUBLE_EQ(rope.frequencies[3], 0.00025);
}

// Llama 3.1's own numbers: pairs that turn more than 4 times in 8,192 positions stay, those that
// turn less than once are slowed eightfold.
TEST(RopeFrequenciesTest, Llama3ScalingSlowsOnlyWhatTurnsSeldom) {
  const Rope plain = MakeRope(500'000, 128);
  const Rope scaled = MakeRope(500'000, 128,
                               {.kind = Kind::kLlama3,
                                .factor = 8,
                                .original_context_tokens = 8192,
                                .low_frequency_factor = 1,
                                .high_frequency_factor = 4});
  for (size_t i = 0; i < plain.frequencies.size(); ++i) {
    const double turns = 8192 * plain.frequencies[i] / (2 * std::numbers::pi);
    const double ratio = scaled.frequencies[i] / plain.frequencies[i];
    if (turns > 4) {
      EXPECT_DOUBLE_EQ(ratio, 1) << i;
    } else if (turns < 1) {
      EXPECT_DOUBLE_EQ(ratio, 0.125) << i;
    } else {
      EXPECT_NEAR(ratio, 0.125 + 0.875 * (turns - 1) / 3, 1e-12) << i;
    }
  }
}

TEST(RopeFrequenciesTest, YarnKeepsTheFirstDimensionsAndInterpolatesTheLast) {
  const Rope plain = MakeRope(1'000'000, 128);
  const Rope yarn = MakeRope(1'000'000, 128,
                             {.kind = Kind::kYarn, .factor = 4, .original_context_tokens = 32768});
  EXPECT_DOUBLE_EQ(yarn.frequencies.front(), plain.frequencies.front());
  EXPECT_DOUBLE_EQ(yarn.frequencies.back(), plain.frequencies.back() / 4);
  EXPECT_NEAR(yarn.magnitude, 0.1 * std::log(4) + 1, 1e-12);
}

TEST(RopeFrequenciesTest, YarnsMagnitudeFollowsWhatTheFileSays) {
  RopeScaling scaling{.kind = Kind::kYarn, .factor = 40, .original_context_tokens = 4096};
  scaling.mscale = 1;
  scaling.mscale_all_dim = 1;
  EXPECT_DOUBLE_EQ(MakeRope(10'000, 64, scaling).magnitude, 1);
  scaling.attention_factor = 0.75;
  EXPECT_DOUBLE_EQ(MakeRope(10'000, 64, scaling).magnitude, 0.75);
}

}  // namespace
}  // namespace spillway
