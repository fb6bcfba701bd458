// worker/kernels/rope.h: every instruction set against the reference and against each other.

#include "worker/kernels/rope.h"

#include <cmath>

#include "tests/worker/kernels/kernel_cases.h"

namespace spillway {
namespace {

using RopeTest = KernelTest;

TEST_P(RopeTest, IsCloseToTheReferenceAndHasThePortableBits) {
  for (const int32_t rope_size : {8, 32, 64, 80, 128}) {
    const std::vector<float> table = MakeRopeTable(/*positions=*/100, MakeRope(1e4, rope_size));
    for (const int32_t position : {0, 1, 99}) {
      const float* const angles = table.data() + int64_t{position} * rope_size;
      const std::vector<float> x = RandomFloats(128, /*seed=*/5);
      std::vector<float> out = x, portable_out = x, expected = x;

      kernels().rope(angles, rope_size, out.data());
      portable().rope(angles, rope_size, portable_out.data());
      RopeReference(angles, rope_size, expected.data());

      EXPECT_TRUE(SameBits(out, portable_out));
      for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(out[i], expected[i], 1e-6f);
    }
  }
}

TEST_P(RopeTest, LeavesPositionZeroAndWhatIsBeyondTheRopeSizeAlone) {
  const std::vector<float> table = MakeRopeTable(/*positions=*/2, MakeRope(1e4, /*size=*/32));
  const std::vector<float> x = RandomFloats(64, /*seed=*/6);
  std::vector<float> first = x, second = x;

  kernels().rope(table.data(), 32, first.data());
  kernels().rope(table.data() + 32, 32, second.data());

  EXPECT_EQ(first, x);
  EXPECT_NE(second[0], x[0]);
  EXPECT_TRUE(std::equal(second.begin() + 32, second.end(), x.begin() + 32));
}

TEST(RopeTableTest, HasTheAnglesOfThePaper) {
  const std::vector<float> table = MakeRopeTable(/*positions=*/8, MakeRope(1e5, /*size=*/64));
  const double angle = 7 * std::pow(1e5, -2.0 * 3 / 64);
  EXPECT_FLOAT_EQ(table[7 * 64 + 3], static_cast<float>(std::cos(angle)));
  EXPECT_FLOAT_EQ(table[7 * 64 + 32 + 3], static_cast<float>(std::sin(angle)));
}

INSTANTIATE_FOR_EVERY_ISA(RopeTest);

}  // namespace
}  // namespace spillway
