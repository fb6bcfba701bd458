// worker/kernels/matmul.h and packed_matrix.h: every format and instruction set against the
// references, and bit for bit against each other, for every number of rows.

#include "worker/kernels/matmul.h"

#include <cmath>
#include <numeric>

#include "tests/worker/kernels/kernel_cases.h"
#include "tests/worker/kernels/random_weights.h"

namespace spillway {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::kF32,  WeightFormat::kF16,  WeightFormat::kBf16,
                                     WeightFormat::kQ4_0, WeightFormat::kQ4_1, WeightFormat::kQ8_0};

// Activations in both forms.
struct Activations {
  Activations(int32_t row_count, int32_t columns, uint32_t seed)
      : values(RandomFloats(int64_t{row_count} * columns, seed)), quantized(row_count, columns) {
    for (int32_t row = 0; row < row_count; ++row) {
      QuantizeRowReference(&values[row * columns], quantized.rows, row);
    }
    input = {.row_count = row_count,
             .quantized = quantized.rows,
             .values = values.data(),
             .value_stride = columns};
  }

  std::vector<float> values;
  QuantizedRowsMemory quantized;
  MatMulInput input;
};

int64_t PaddedOutputs(const PackedMatrix& matrix) { return matrix.panel_count() * kPanelOutputs; }

std::vector<float> Multiply(const CpuKernels& kernels, const PackedMatrix& matrix,
                            const MatMulInput& input, float start = 0, bool add = false) {
  const int64_t stride = PaddedOutputs(matrix);
  std::vector<float> out(static_cast<size_t>(input.row_count * stride), start);
  kernels.mat_mul(matrix, input, 0, matrix.panel_count(),
                  {.values = out.data(), .stride = stride, .add = add});
  return out;
}

class MatMulTest : public KernelTest {};

TEST_P(MatMulTest, IsCloseToTheReferenceAndHasThePortableBits) {
  for (const WeightFormat format : kFormats) {
    for (const auto& [outputs, inputs] : {std::pair{16, 32}, {40, 96}, {100, 576}}) {
      const PackedWeights weights(format, outputs, inputs, /*seed=*/11);
      for (const int32_t rows : {1, 2, 7, 8, 9, 24}) {
        const Activations x(rows, inputs, /*seed=*/12);

        const std::vector<float> out = Multiply(kernels(), weights.matrix, x.input);

        EXPECT_TRUE(SameBits(out, Multiply(portable(), weights.matrix, x.input)));
        std::vector<double> expected(static_cast<size_t>(rows * outputs));
        MatMulReference(weights.matrix, weights.source.data(), x.input, expected.data());
        for (int32_t r = 0; r < rows; ++r) {
          for (int32_t o = 0; o < outputs; ++o) {
            EXPECT_NEAR(out[r * PaddedOutputs(weights.matrix) + o], expected[r * outputs + o],
                        2e-6 * inputs)
                << InfoOf(format).name << " row " << r << " of " << rows << " output " << o;
          }
        }
      }
    }
  }
}

// The one-arithmetic rule: a row has the same bits whoever shares its tile.
TEST_P(MatMulTest, RowDoesNotDependOnTheOthers) {
  for (const WeightFormat format : kFormats) {
    const PackedWeights weights(format, /*outputs=*/32, /*inputs=*/160, /*seed=*/13);
    const Activations all(19, 160, /*seed=*/14);
    const std::vector<float> together = Multiply(kernels(), weights.matrix, all.input);
    for (int32_t row = 0; row < 19; ++row) {
      QuantizedRowsMemory alone(1, 160);
      kernels().quantize_row(&all.values[row * 160], alone.rows, 0);
      const MatMulInput input = {.row_count = 1,
                                 .quantized = alone.rows,
                                 .values = &all.values[row * 160],
                                 .value_stride = 160};
      const std::vector<float> out = Multiply(kernels(), weights.matrix, input);
      EXPECT_EQ(0, std::memcmp(out.data(), &together[row * 32], 32 * sizeof(float)))
          << InfoOf(format).name << " row " << row;
    }
  }
}

TEST_P(MatMulTest, WritesItsPanelsOnlyAndAddsWhereAsked) {
  const PackedWeights weights(WeightFormat::kQ4_1, /*outputs=*/64, /*inputs=*/64, /*seed=*/15);
  const Activations x(3, 64, /*seed=*/16);
  const std::vector<float> whole = Multiply(kernels(), weights.matrix, x.input);
  std::vector<float> part(whole.size(), 5.0f);

  kernels().mat_mul(weights.matrix, x.input, 1, 3,
                    {.values = part.data(), .stride = 64, .add = true});

  for (size_t i = 0; i < part.size(); ++i) {
    const bool inside = i % 64 >= 16 && i % 64 < 48;
    EXPECT_EQ(part[i], inside ? 5.0f + whole[i] : 5.0f);
  }
}

TEST_P(MatMulTest, ExtremeQuantsStayExact) {
  // All quants at their limits, all activations at ±127: the sums that a 16-bit step would clip.
  for (const WeightFormat format :
       {WeightFormat::kQ4_0, WeightFormat::kQ4_1, WeightFormat::kQ8_0}) {
    for (const int quant : {0, 0x80, 0x7f, 0xff}) {
      PackedWeights weights(format, /*outputs=*/16, /*inputs=*/64, /*seed=*/17);
      const WeightFormatInfo& info = InfoOf(format);
      for (size_t i = 0; i < weights.source.size(); ++i) {
        const size_t within = i % static_cast<size_t>(info.source_bytes);
        if (within >= static_cast<size_t>(2 * info.factor_count)) {
          weights.source[i] = static_cast<std::byte>(quant);
        }
      }
      weights.Pack();
      for (const float sign : {1.0f, -1.0f}) {
        Activations x(1, 64, /*seed=*/18);
        for (float& value : x.values) value = sign;
        QuantizeRowReference(x.values.data(), x.quantized.rows, 0);

        const std::vector<float> out = Multiply(kernels(), weights.matrix, x.input);

        std::vector<double> expected(16);
        MatMulReference(weights.matrix, weights.source.data(), x.input, expected.data());
        for (size_t o = 0; o < 16; ++o) {
          EXPECT_NEAR(out[o], expected[o], std::fabs(expected[o]) * 1e-6 + 1e-6);
        }
      }
    }
  }
}

TEST_P(MatMulTest, GatedIsSiluOfOneTimesTheOther) {
  for (const WeightFormat format : kFormats) {
    const PackedWeights gate(format, /*outputs=*/96, /*inputs=*/64, /*seed=*/21);
    const PackedWeights up(format, /*outputs=*/96, /*inputs=*/64, /*seed=*/22);
    const Activations x(11, 64, /*seed=*/23);
    const auto run = [&](const CpuKernels& table, bool quantize) {
      std::vector<float> values(11 * 96);
      QuantizedRowsMemory quantized(11, 96);
      for (const auto& [begin, end] : {std::pair{0, 1}, {1, 3}}) {
        table.gated_mat_mul(gate.matrix, up.matrix, x.input, begin, end,
                            {.quantized = quantized.rows,
                             .values = quantize ? nullptr : values.data(),
                             .stride = 96});
      }
      return std::pair{values, quantized.bytes};
    };

    const std::vector<float> values = run(kernels(), false).first;
    const std::vector<std::byte> quantized = run(kernels(), true).second;

    EXPECT_TRUE(SameBits(values, run(portable(), false).first));
    EXPECT_TRUE(SameBits(quantized, run(portable(), true).second));
    QuantizedRowsMemory expected_quantized(11, 96);
    for (int32_t row = 0; row < 11; ++row) {
      kernels().quantize_row(&values[row * 96], expected_quantized.rows, row);
    }
    EXPECT_TRUE(SameBits(quantized, expected_quantized.bytes));
    const std::vector<float> gates = Multiply(kernels(), gate.matrix, x.input);
    const std::vector<float> ups = Multiply(kernels(), up.matrix, x.input);
    for (size_t i = 0; i < values.size(); ++i) {
      const double expected = gates[i] / (1 + std::exp(-double{gates[i]})) * ups[i];
      EXPECT_NEAR(values[i], expected, std::fabs(expected) * 1e-6 + 1e-7);
    }
  }
}

INSTANTIATE_FOR_EVERY_ISA(MatMulTest);

TEST(PackedMatrixTest, GivesBackTheRowsOfTheFile) {
  for (const WeightFormat format : kFormats) {
    const PackedWeights weights(format, /*outputs=*/37, /*inputs=*/96, /*seed=*/31);
    const int64_t row_bytes = SourceRowBytes(format, 96);
    for (int32_t output = 0; output < 37; ++output) {
      std::vector<float> expected(96), row(96);
      DequantizeRowReference(format, weights.source.data() + output * row_bytes, 96,
                             expected.data());
      UnpackRow(weights.matrix, output, row.data());
      EXPECT_EQ(row, expected) << InfoOf(format).name << " output " << output;
    }
  }
}

TEST(PackedMatrixTest, FollowsTheRowOrder) {
  PackedWeights weights(WeightFormat::kQ8_0, /*outputs=*/20, /*inputs=*/32, /*seed=*/32);
  std::vector<float> before(32), after(32);
  UnpackRow(weights.matrix, 3, before.data());
  weights.row_order.resize(20);
  std::iota(weights.row_order.rbegin(), weights.row_order.rend(), 0);

  weights.Pack();

  UnpackRow(weights.matrix, 16, after.data());
  EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace spillway
