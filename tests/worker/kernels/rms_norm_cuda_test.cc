// worker/kernels/rms_norm_cuda.h on a device, against its oracle. Tolerance: one rounding of out.

#include "worker/kernels/rms_norm_cuda.h"

#include "tests/worker/kernels/cuda_cases.h"

namespace spillway {
namespace {

struct Case {
  int32_t rows;
  int32_t columns;
  HalfType type;
  bool has_delta;
  bool has_bias = false;
  bool has_delta_norm = false;
  bool has_sources = false;
};

class RmsNormCudaTest : public CudaTestWithCase<Case> {};

TEST_P(RmsNormCudaTest, IsCloseToTheOracle) {
  const Case& c = GetParam();
  const int64_t count = int64_t{c.rows} * c.columns;
  std::vector<float> residual = RandomFloats(count, /*seed=*/1, /*scale=*/3);
  const std::vector<uint16_t> delta = RandomHalves(c.type, count, /*seed=*/2);
  const std::vector<float> weight = RandomFloats(c.columns, /*seed=*/3);
  const std::vector<float> bias = RandomFloats(c.columns, /*seed=*/4);
  const std::vector<float> delta_norm = RandomFloats(c.columns, /*seed=*/5);
  std::vector<int32_t> sources(static_cast<size_t>(c.rows));
  for (int32_t i = 0; i < c.rows; ++i) sources[static_cast<size_t>(i)] = (i + 1) % c.rows;
  const DeviceBuffer<float> device_bias = Upload(bias), device_delta_norm = Upload(delta_norm);
  const DeviceBuffer<int32_t> device_sources = Upload(sources);
  const DeviceBuffer<float> device_residual = Upload(residual);
  const DeviceBuffer<uint16_t> device_delta = Upload(delta);
  const DeviceBuffer<float> device_weight = Upload(weight);
  const DeviceBuffer<uint16_t> device_out = Poisoned<uint16_t>(count);
  std::vector<uint16_t> expected(static_cast<size_t>(count));
  RmsNormRows rows = {.rows = c.rows,
                      .columns = c.columns,
                      .type = c.type,
                      .epsilon = 1e-5f,
                      .sources = c.has_sources ? sources.data() : nullptr,
                      .residual = residual.data(),
                      .delta = c.has_delta ? delta.data() : nullptr,
                      .delta_bias = c.has_bias ? bias.data() : nullptr,
                      .delta_norm = c.has_delta_norm ? delta_norm.data() : nullptr,
                      .weight = weight.data(),
                      .out = expected.data()};
  RmsNormRowsReference(rows);

  rows.sources = c.has_sources ? device_sources.data() : nullptr;
  rows.residual = device_residual.data();
  rows.delta = c.has_delta ? device_delta.data() : nullptr;
  rows.delta_bias = c.has_bias ? device_bias.data() : nullptr;
  rows.delta_norm = c.has_delta_norm ? device_delta_norm.data() : nullptr;
  rows.weight = device_weight.data();
  rows.out = device_out.data();
  const absl::Status status = RmsNormCuda(stream(), rows);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(AreClose(c.type, Download(device_out), expected, EpsilonOf(c.type)));
  if (c.has_delta_norm) {
    EXPECT_TRUE(AreClose(Download(device_residual), residual, 1e-5f));
  } else {
    EXPECT_EQ(Download(device_residual), residual);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RmsNormCudaTest,
    ::testing::Values(Case{1, 8, HalfType::kBf16, false}, Case{3, 576, HalfType::kBf16, true},
                      Case{2, 1536, HalfType::kF16, true}, Case{1, 3584, HalfType::kBf16, true},
                      Case{5, 4096, HalfType::kBf16, false}, Case{2, 8192, HalfType::kF16, true},
                      Case{1, 16384, HalfType::kBf16, true},
                      Case{3, 576, HalfType::kF16, true, true},
                      Case{2, 2304, HalfType::kBf16, true, true, true},
                      Case{3, 4096, HalfType::kF16, true, false, true, true},
                      Case{4, 40, HalfType::kBf16, true, true, false, true}));

}  // namespace
}  // namespace spillway
