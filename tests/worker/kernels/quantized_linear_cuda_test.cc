// worker/kernels/quantized_linear_cuda.h on a device, against its oracles, and the oracles' reading
// of a model file against the CPU's. Tolerance of products: sums in f32 against double.

#include "worker/kernels/quantized_linear_cuda.h"

#include <limits>

#include "tests/worker/kernels/cuda_cases.h"
#include "tests/worker/kernels/random_weights.h"

namespace spillway {
namespace {

struct SplitMatrix {
  SplitMatrix(WeightFormat format, int32_t outputs, int32_t inputs, uint32_t seed, float scale)
      : source(RandomSource(format, outputs, inputs, seed, scale)),
        matrix{.format = format, .outputs = outputs, .inputs = inputs} {
    quants.resize(static_cast<size_t>(matrix.quant_bytes()));
    factors.resize(static_cast<size_t>(matrix.factor_bytes()));
    for (int32_t row = 0; row < outputs; ++row) {
      SplitQuantizedRow(matrix, source.data() + row * SourceRowBytes(format, inputs),
                        quants.data() + row * matrix.quant_row_bytes(),
                        factors.data() + row * matrix.factor_row_bytes());
    }
    matrix.quants = quants.data();
    matrix.factors = factors.data();
  }

  std::vector<std::byte> source;
  std::vector<uint8_t> quants;
  std::vector<std::byte> factors;
  QuantizedMatrixCuda matrix;
};

struct HostRows {
  HostRows(int32_t rows, int32_t columns)
      : values(static_cast<size_t>(rows * columns)),
        factors(static_cast<size_t>(rows * (columns / 32) * 2)) {
    quantized = {
        .rows = rows, .columns = columns, .values = values.data(), .factors = factors.data()};
  }

  std::vector<int8_t> values;
  std::vector<float> factors;
  QuantizedRowsCuda quantized;
};

struct Case {
  WeightFormat format;
  int32_t rows;
  int32_t outputs;
  int32_t inputs;
};

class QuantizedLinearCudaTest : public CudaTestWithCase<Case> {};

TEST(SplitQuantizedRowsTest, KeepsTheWeightsOfTheModelFile) {
  for (const WeightFormat format : {WeightFormat::kQ4_0, WeightFormat::kQ4_1, WeightFormat::kQ8_0,
                                    WeightFormat::kQ4_K, WeightFormat::kQ6_K}) {
    constexpr int32_t kInputs = 512;
    const SplitMatrix split(format, 3, kInputs, /*seed=*/5, /*scale=*/0.5f);
    std::vector<uint16_t> weights(3 * kInputs);

    DequantizeReference(split.matrix, HalfType::kBf16, weights.data());

    for (int32_t row = 0; row < 3; ++row) {
      std::vector<float> expected(kInputs);
      DequantizeRowReference(format, split.source.data() + row * SourceRowBytes(format, kInputs),
                             kInputs, expected.data());
      for (int32_t i = 0; i < kInputs; ++i) {
        // As numbers: a zero's sign may differ.
        EXPECT_EQ(BFloat16ToFloat(weights[static_cast<size_t>(row * kInputs + i)]),
                  BFloat16ToFloat(FloatToBFloat16(expected[static_cast<size_t>(i)])));
      }
    }
  }
}

TEST_P(QuantizedLinearCudaTest, GemvIsCloseToTheOracleForAnyNumberOfRows) {
  const Case& c = GetParam();
  const float scale = 1 / std::sqrt(static_cast<float>(c.inputs));
  const SplitMatrix weight(c.format, c.outputs, c.inputs, /*seed=*/1, scale);
  const std::vector<uint16_t> x =
      RandomHalves(HalfType::kBf16, int64_t{c.rows} * c.inputs, /*seed=*/2);
  HostRows rows(c.rows, c.inputs);
  QuantizeRowsReference(HalfType::kBf16, x.data(), rows.quantized);
  std::vector<float> expected(static_cast<size_t>(c.rows * c.outputs));
  QuantizedLinearReference(
      {.weight = weight.matrix, .x = rows.quantized, .out_f32 = expected.data()});
  const DeviceBuffer<uint8_t> quants = Upload(weight.quants);
  const DeviceBuffer<std::byte> factors = Upload(weight.factors);
  const DeviceBuffer<int8_t> x_values = Upload(rows.values);
  const DeviceBuffer<float> x_factors = Upload(rows.factors);
  QuantizedLinear linear = {.weight = weight.matrix, .x = rows.quantized};
  linear.weight.quants = quants.data();
  linear.weight.factors = factors.data();
  linear.x.values = x_values.data();
  linear.x.factors = x_factors.data();

  std::vector<float> all;
  for (linear.x.rows = c.rows; linear.x.rows >= 1; --linear.x.rows) {
    const int64_t count = int64_t{linear.x.rows} * c.outputs;
    const DeviceBuffer<float> out = Poisoned<float>(count);
    linear.out_f32 = out.data();
    const absl::Status status = QuantizedGemvCuda(stream(), linear);
    ASSERT_TRUE(status.ok()) << status;
    if (all.empty()) {
      all = Download(out);
      EXPECT_TRUE(AreClose(all, expected, 1e-5f));
    } else {
      all.resize(static_cast<size_t>(count));
      EXPECT_TRUE(SameBits(Download(out), all)) << linear.x.rows << " rows";
    }
  }
}

TEST_P(QuantizedLinearCudaTest, DequantizesAsTheOracle) {
  const Case& c = GetParam();
  const SplitMatrix weight(c.format, c.outputs, c.inputs, /*seed=*/3, /*scale=*/0.5f);
  std::vector<uint16_t> expected(static_cast<size_t>(c.outputs * c.inputs));
  DequantizeReference(weight.matrix, HalfType::kF16, expected.data());
  const DeviceBuffer<uint8_t> quants = Upload(weight.quants);
  const DeviceBuffer<std::byte> factors = Upload(weight.factors);
  const DeviceBuffer<uint16_t> out = Poisoned<uint16_t>(int64_t{c.outputs} * c.inputs);
  QuantizedMatrixCuda matrix = weight.matrix;
  matrix.quants = quants.data();
  matrix.factors = factors.data();

  const absl::Status status = DequantizeCuda(stream(), matrix, HalfType::kF16, out.data());

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(AreClose(HalfType::kF16, Download(out), expected, EpsilonOf(HalfType::kF16)));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, QuantizedLinearCudaTest,
    ::testing::Values(Case{WeightFormat::kQ8_0, 8, 33, 576}, Case{WeightFormat::kQ8_0, 3, 6, 4128},
                      Case{WeightFormat::kQ4_1, 8, 10, 1536}, Case{WeightFormat::kQ4_1, 5, 64, 32},
                      Case{WeightFormat::kQ4_0, 8, 7, 8960},
                      Case{WeightFormat::kQ4_0, 2, 129, 2048},
                      Case{WeightFormat::kQ4_K, 8, 9, 4608}, Case{WeightFormat::kQ4_K, 1, 66, 256},
                      Case{WeightFormat::kQ6_K, 8, 10, 2048},
                      Case{WeightFormat::kQ6_K, 3, 5, 4352}));

TEST_P(QuantizedLinearCudaTest, EmbedsAsTheOracle) {
  const Case& c = GetParam();
  const SplitMatrix table(c.format, c.outputs, c.inputs, /*seed=*/4, /*scale=*/0.5f);
  // A given token, one of the step before, and two that aren't in the table.
  const std::vector<int32_t> tokens = {c.outputs - 1, PendingToken(2), -1, c.outputs};
  const std::vector<int32_t> sampled = {0, 0, 1};
  std::vector<float> expected(tokens.size() * static_cast<size_t>(c.inputs));
  EmbeddingRows rows = {.rows = static_cast<int32_t>(tokens.size()),
                        .columns = c.inputs,
                        .vocabulary = c.outputs,
                        .scale = 3,
                        .tokens = tokens.data(),
                        .sampled = sampled.data(),
                        .residual = expected.data()};
  QuantizedEmbeddingReference(rows, table.matrix);
  const DeviceBuffer<uint8_t> quants = Upload(table.quants);
  const DeviceBuffer<std::byte> factors = Upload(table.factors);
  const DeviceBuffer<int32_t> device_tokens = Upload(tokens), device_sampled = Upload(sampled);
  const DeviceBuffer<float> out = Poisoned<float>(static_cast<int64_t>(expected.size()));
  QuantizedMatrixCuda matrix = table.matrix;
  matrix.quants = quants.data();
  matrix.factors = factors.data();
  rows.tokens = device_tokens.data();
  rows.sampled = device_sampled.data();
  rows.residual = out.data();

  const absl::Status status = QuantizedEmbeddingCuda(stream(), rows, matrix);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(AreClose(Download(out), expected, 1e-6f));
}

using QuantizeRowsCudaTest = CudaTest;

TEST_F(QuantizeRowsCudaTest, HasTheBitsOfTheOracle) {
  constexpr int32_t kRows = 3;
  constexpr int32_t kColumns = 160;
  for (const HalfType type : {HalfType::kF16, HalfType::kBf16}) {
    std::vector<uint16_t> x = RandomHalves(type, int64_t{kRows} * kColumns, /*seed=*/6);
    std::fill_n(x.begin(), 32, uint16_t{0});  // a block of zeros
    x[40] = FromFloat(type, std::numeric_limits<float>::infinity());
    HostRows expected(kRows, kColumns);
    QuantizeRowsReference(type, x.data(), expected.quantized);
    const DeviceBuffer<uint16_t> device_x = Upload(x);
    const DeviceBuffer<int8_t> values = Poisoned<int8_t>(int64_t{kRows} * kColumns);
    const DeviceBuffer<float> factors = Poisoned<float>(int64_t{kRows} * (kColumns / 32) * 2);

    const absl::Status status = QuantizeRowsCuda(
        stream(), type, device_x.data(),
        {.rows = kRows, .columns = kColumns, .values = values.data(), .factors = factors.data()});

    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(Download(values), expected.values);
    const std::vector<float> out = Download(factors);
    for (size_t i = 0; i < out.size(); ++i) {
      if (std::isnan(expected.factors[i])) {
        EXPECT_TRUE(std::isnan(out[i])) << i;
      } else {
        EXPECT_EQ(out[i], expected.factors[i]) << i;
      }
    }
  }
}

}  // namespace
}  // namespace spillway
