// worker/kernels/quantize.h: every instruction set against the reference, bit for bit.

#include "worker/kernels/quantize.h"

#include <cmath>
#include <limits>

#include "tests/worker/kernels/kernel_cases.h"

namespace spillway {
namespace {

using QuantizeTest = KernelTest;

std::vector<std::byte> Quantize(QuantizeRowKernel quantize, const std::vector<float>& x,
                                int64_t row_count) {
  const auto columns = static_cast<int32_t>(x.size() / static_cast<size_t>(row_count));
  QuantizedRowsMemory memory(row_count, columns);
  for (int64_t row = 0; row < row_count; ++row) quantize(&x[row * columns], memory.rows, row);
  return memory.bytes;
}

TEST_P(QuantizeTest, HasTheBitsOfTheReference) {
  for (const int64_t rows : {1, 3, 8, 17}) {
    const std::vector<float> x = RandomFloats(rows * 96, /*seed=*/7, /*scale=*/3);
    EXPECT_TRUE(SameBits(Quantize(kernels().quantize_row, x, rows),
                         Quantize(QuantizeRowReference, x, rows)));
  }
}

TEST_P(QuantizeTest, HasTheBitsOfTheReferenceAtExtremes) {
  for (const float scale : {0.0f, 1e-40f, 1e-37f, 1e-30f, 1e30f, 1e38f}) {
    const std::vector<float> x = RandomFloats(64, /*seed=*/1, scale);
    EXPECT_TRUE(
        SameBits(Quantize(kernels().quantize_row, x, 1), Quantize(QuantizeRowReference, x, 1)))
        << scale;
  }
}

TEST_P(QuantizeTest, RoundsTiesToEven) {
  std::vector<float> x(32);
  x[0] = 127;  // makes the scale 1
  x[1] = 0.5f;
  x[2] = 1.5f;
  x[3] = -2.5f;
  QuantizedRowsMemory memory(1, 32);

  kernels().quantize_row(x.data(), memory.rows, 0);

  EXPECT_EQ(memory.rows.values[0], 127);
  EXPECT_EQ(memory.rows.values[1], 0);
  EXPECT_EQ(memory.rows.values[2], 2);
  EXPECT_EQ(memory.rows.values[3], -2);
  EXPECT_EQ(memory.rows.scales[0], 1);
  EXPECT_EQ(memory.rows.sums[0], 127);
  EXPECT_EQ(memory.rows.scaled_sums[0], 127);
}

TEST_P(QuantizeTest, WhatIsNotFiniteBecomesNotANumber) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(64, 1.0f);
    x[40] = bad;
    QuantizedRowsMemory memory(1, 64);

    kernels().quantize_row(x.data(), memory.rows, 0);

    EXPECT_FALSE(std::isnan(memory.rows.scales[memory.rows.IndexOf(0, 0)]));
    EXPECT_TRUE(std::isnan(memory.rows.scales[memory.rows.IndexOf(0, 1)]));
  }
}

INSTANTIATE_FOR_EVERY_ISA(QuantizeTest);

}  // namespace
}  // namespace spillway
