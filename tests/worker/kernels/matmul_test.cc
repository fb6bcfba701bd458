// worker/kernels/matmul.h and packed_matrix.h: every format and instruction set against the
// references, and bit for bit against each other, for every number of rows.

#include "worker/kernels/matmul.h"

#include <cmath>
#include <numeric>

#include "tests/worker/kernels/kernel_cases.h"
#include "tests/worker/kernels/random_weights.h"

namespace spillway {
namespace {

std::vector<WeightFormat> AllFormats() {
  std::vector<WeightFormat> formats;
  for (int32_t i = 0; i < kWeightFormatCount; ++i) formats.push_back(static_cast<WeightFormat>(i));
  return formats;
}

// `inputs`, or as many as make whole blocks of the format.
int32_t RoundUpInputs(WeightFormat format, int32_t inputs) {
  const int32_t block = InfoOf(format).source_values;
  return (inputs + block - 1) / block * block;
}

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
  for (const WeightFormat format : AllFormats()) {
    for (const auto& [outputs, least_inputs] : {std::pair{16, 32}, {40, 96}, {100, 576}}) {
      const int32_t inputs = RoundUpInputs(format, least_inputs);
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
  for (const WeightFormat format : AllFormats()) {
    const int32_t inputs = RoundUpInputs(format, 160);
    const PackedWeights weights(format, /*outputs=*/32, inputs, /*seed=*/13);
    const Activations all(19, inputs, /*seed=*/14);
    const std::vector<float> together = Multiply(kernels(), weights.matrix, all.input);
    for (int32_t row = 0; row < 19; ++row) {
      QuantizedRowsMemory alone(1, inputs);
      kernels().quantize_row(&all.values[row * inputs], alone.rows, 0);
      const MatMulInput input = {.row_count = 1,
                                 .quantized = alone.rows,
                                 .values = &all.values[row * inputs],
                                 .value_stride = inputs};
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
  // All quants and sub-scales at their limits, all activations at ±127: the sums that a 16-bit step
  // would clip.
  for (const WeightFormat format : AllFormats()) {
    const WeightFormatInfo& info = InfoOf(format);
    if (!info.integer) continue;
    for (const int byte : {0, 0x80, 0x7f, 0xff}) {
      PackedWeights weights(format, /*outputs=*/16, /*inputs=*/256, /*seed=*/17);
      const auto block_bytes = static_cast<size_t>(info.source_bytes);
      const size_t factors_end = FactorOffset(format) + static_cast<size_t>(2 * info.factor_count);
      for (size_t i = 0; i < weights.source.size(); ++i) {
        const size_t within = i % block_bytes;
        if (within < FactorOffset(format) || within >= factors_end) {
          weights.source[i] = static_cast<std::byte>(byte);
        }
      }
      weights.Pack();
      for (const float sign : {1.0f, -1.0f}) {
        Activations x(1, 256, /*seed=*/18);
        for (float& value : x.values) value = sign;
        QuantizeRowReference(x.values.data(), x.quantized.rows, 0);

        const std::vector<float> out = Multiply(kernels(), weights.matrix, x.input);

        std::vector<double> expected(16);
        MatMulReference(weights.matrix, weights.source.data(), x.input, expected.data());
        for (size_t o = 0; o < 16; ++o) {
          EXPECT_NEAR(out[o], expected[o], std::fabs(expected[o]) * 2e-6 + 1e-6)
              << info.name << " bytes " << byte;
        }
      }
    }
  }
}

// Gate and up of one format, and of different ones, quantised and not.
TEST_P(MatMulTest, GatedIsSiluOfOneTimesTheOther) {
  std::vector<std::pair<WeightFormat, WeightFormat>> cases = {
      {WeightFormat::kQ4_K, WeightFormat::kQ6_K},
      {WeightFormat::kF16, WeightFormat::kQ5_K},
      {WeightFormat::kQ5_1, WeightFormat::kF32}};
  for (const WeightFormat format : AllFormats()) cases.push_back({format, format});
  for (const auto& [gate_format, up_format] : cases) {
    SCOPED_TRACE(std::string(InfoOf(gate_format).name) + " " + std::string(InfoOf(up_format).name));
    const PackedWeights gate(gate_format, /*outputs=*/96, /*inputs=*/256, /*seed=*/21, 0.2f);
    const PackedWeights up(up_format, /*outputs=*/96, /*inputs=*/256, /*seed=*/22, 0.2f);
    const Activations x(11, 256, /*seed=*/23);
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

TEST_P(MatMulTest, GatedTakesBiasesGeluAndAnyNumberOfOutputs) {
  constexpr int32_t kOutputs = 40;  // three panels
  constexpr int32_t kStride = 64;
  for (const GateActivation activation : {GateActivation::kSilu, GateActivation::kGeluTanh}) {
    const PackedWeights gate(WeightFormat::kF32, kOutputs, /*inputs=*/50, /*seed=*/24);
    const PackedWeights up(WeightFormat::kF32, kOutputs, /*inputs=*/50, /*seed=*/25);
    const std::vector<float> x = RandomFloats(9 * 50, /*seed=*/26, /*scale=*/2);
    const MatMulInput input = {.row_count = 9, .values = x.data(), .value_stride = 50};
    std::vector<float> gate_bias = RandomFloats(kOutputs, /*seed=*/27);
    std::vector<float> up_bias = RandomFloats(kOutputs, /*seed=*/28);
    gate_bias.resize(kStride);
    up_bias.resize(kStride);
    const auto run = [&](const CpuKernels& table) {
      std::vector<float> out(9 * kStride, 5.0f);
      table.gated_mat_mul(gate.matrix, up.matrix, input, 0, 2,
                          {.values = out.data(),
                           .stride = kStride,
                           .activation = activation,
                           .gate_bias = gate_bias.data(),
                           .up_bias = up_bias.data()});
      return out;
    };

    const std::vector<float> out = run(kernels());

    EXPECT_TRUE(SameBits(out, run(portable())));
    std::vector<double> gates(9 * kOutputs), ups(9 * kOutputs);
    MatMulReference(gate.matrix, gate.source.data(), input, gates.data());
    MatMulReference(up.matrix, up.source.data(), input, ups.data());
    for (size_t row = 0; row < 9; ++row) {
      for (size_t o = 0; o < kStride; ++o) {
        double expected = 0;
        if (o < kOutputs) {
          const double g = gates[row * kOutputs + o] + gate_bias[o];
          const double u = ups[row * kOutputs + o] + up_bias[o];
          const double gelu =
              0.5 * g * (1 + std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)));
          expected = (activation == GateActivation::kSilu ? g / (1 + std::exp(-g)) : gelu) * u;
        }
        EXPECT_NEAR(out[row * kStride + o], expected, std::fabs(expected) * 1e-5 + 1e-5);
      }
    }
  }
}

INSTANTIATE_FOR_EVERY_ISA(MatMulTest);

TEST(PackedMatrixTest, GivesBackTheRowsOfTheFile) {
  for (const WeightFormat format : AllFormats()) {
    const int32_t inputs = 2 * RoundUpInputs(format, 96);
    const PackedWeights weights(format, /*outputs=*/37, inputs, /*seed=*/31);
    const int64_t row_bytes = SourceRowBytes(format, inputs);
    for (int32_t output = 0; output < 37; ++output) {
      std::vector<float> expected(static_cast<size_t>(inputs)), row(expected.size());
      DequantizeRowReference(format, weights.source.data() + output * row_bytes, inputs,
                             expected.data());
      UnpackRow(weights.matrix, output, row.data());
      EXPECT_TRUE(SameBits(row, expected)) << InfoOf(format).name << " output " << output;
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
