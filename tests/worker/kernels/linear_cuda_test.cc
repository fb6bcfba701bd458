// worker/kernels/linear_cuda.h on a device, against its oracle. Tolerance: one rounding of a 16-bit
// out; for f32, what sums of up to 18944 products in f32 are off from double.

#include "worker/kernels/linear_cuda.h"

#include "tests/worker/kernels/cuda_cases.h"

namespace spillway {
namespace {

struct Case {
  int32_t rows;
  int32_t outputs;
  int32_t inputs;
  HalfType type;
  bool out_f32;
};

class LinearCudaTest : public CudaTestWithCase<Case> {
 protected:
  // The first `rows` rows of x times the weights, as floats.
  std::vector<float> Gemv(const Case& c, const std::vector<uint16_t>& x,
                          const std::vector<uint16_t>& weight) {
    const DeviceBuffer<uint16_t> device_x = Upload(x), device_weight = Upload(weight);
    const int64_t count = int64_t{c.rows} * c.outputs;
    const DeviceBuffer<uint16_t> out = Poisoned<uint16_t>(count);
    const DeviceBuffer<float> out_f32 = Poisoned<float>(count);
    const absl::Status status =
        GemvCuda(stream(), {.rows = c.rows,
                            .outputs = c.outputs,
                            .inputs = c.inputs,
                            .type = c.type,
                            .x = device_x.data(),
                            .weight = device_weight.data(),
                            .out = c.out_f32 ? nullptr : out.data(),
                            .out_f32 = c.out_f32 ? out_f32.data() : nullptr});
    EXPECT_TRUE(status.ok()) << status;
    return c.out_f32 ? Download(out_f32) : ToFloats(c.type, Download(out));
  }
};

TEST_P(LinearCudaTest, GemvIsCloseToTheOracle) {
  const Case& c = GetParam();
  const std::vector<uint16_t> x = RandomHalves(c.type, int64_t{c.rows} * c.inputs, /*seed=*/1);
  const float scale = 1 / std::sqrt(static_cast<float>(c.inputs));
  const std::vector<uint16_t> weight =
      RandomHalves(c.type, int64_t{c.outputs} * c.inputs, /*seed=*/2, scale);
  std::vector<float> expected(static_cast<size_t>(c.rows * c.outputs));
  LinearReference({.rows = c.rows,
                   .outputs = c.outputs,
                   .inputs = c.inputs,
                   .type = c.type,
                   .x = x.data(),
                   .weight = weight.data(),
                   .out_f32 = expected.data()});

  const std::vector<float> out = Gemv(c, x, weight);

  EXPECT_TRUE(AreClose(out, expected, c.out_f32 ? 1e-5f : EpsilonOf(c.type)));
}

TEST_P(LinearCudaTest, RowHasTheSameBitsWhoeverSharesItsBatch) {
  Case c = GetParam();
  const std::vector<uint16_t> x = RandomHalves(c.type, int64_t{8} * c.inputs, /*seed=*/3);
  const std::vector<uint16_t> weight =
      RandomHalves(c.type, int64_t{c.outputs} * c.inputs, /*seed=*/4);
  c.rows = 1;
  const std::vector<float> alone = Gemv(c, x, weight);

  for (c.rows = 2; c.rows <= 8; ++c.rows) {
    std::vector<float> together = Gemv(c, x, weight);
    together.resize(alone.size());  // the first row
    EXPECT_TRUE(SameBits(together, alone)) << c.rows << " rows";
  }
}

using LinearStrideCudaTest = CudaTest;

TEST_F(LinearStrideCudaTest, LeavesWhatLiesBetweenRowsAlone) {
  const std::vector<uint16_t> x = RandomHalves(HalfType::kF16, 3 * 64, /*seed=*/5);
  const std::vector<uint16_t> weight = RandomHalves(HalfType::kF16, 5 * 64, /*seed=*/6);
  std::vector<uint16_t> expected(3 * 8, 0x3c00);
  Linear linear = {.rows = 3,
                   .outputs = 5,
                   .inputs = 64,
                   .type = HalfType::kF16,
                   .x = x.data(),
                   .weight = weight.data(),
                   .out = expected.data() + 2,
                   .out_stride = 8};
  const DeviceBuffer<uint16_t> device_x = Upload(x), device_weight = Upload(weight);
  const DeviceBuffer<uint16_t> out = Upload(expected);
  LinearReference(linear);

  linear.x = device_x.data();
  linear.weight = device_weight.data();
  linear.out = out.data() + 2;
  ASSERT_TRUE(GemvCuda(stream(), linear).ok());

  EXPECT_TRUE(AreClose(HalfType::kF16, Download(out), expected, EpsilonOf(HalfType::kF16)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearCudaTest,
                         ::testing::Values(Case{1, 33, 576, HalfType::kBf16, false},
                                           Case{2, 64, 1536, HalfType::kBf16, true},
                                           Case{3, 7, 4096, HalfType::kF16, false},
                                           Case{4, 130, 64, HalfType::kF16, true},
                                           Case{5, 9, 8, HalfType::kBf16, false},
                                           Case{7, 18, 8960, HalfType::kBf16, true},
                                           Case{8, 21, 1544, HalfType::kF16, true},
                                           Case{8, 5, 18944, HalfType::kBf16, true}));

}  // namespace
}  // namespace spillway
