// worker/kernels/gemm_cublaslt.h on a device, against the oracle of linear layers, before and after
// tuning. Tolerance: one rounding of a 16-bit out; for f32, sums in f32 against double.

#include "worker/kernels/gemm_cublaslt.h"

#include <optional>

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

class CublasLtGemmTest : public CudaTestWithCase<Case> {
 protected:
  void SetUp() override {
    CudaTestWithCase<Case>::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    absl::StatusOr<CublasLt> cublas = CublasLt::Open("");
    if (!cublas.ok()) GTEST_SKIP() << cublas.status().message();
    cublas_.emplace(*std::move(cublas));
    absl::StatusOr<CublasLtGemm> gemm = CublasLtGemm::Create(*cublas_, {.rounds = 1});
    ASSERT_TRUE(gemm.ok()) << gemm.status();
    gemm_.emplace(*std::move(gemm));
  }

  std::optional<CublasLt> cublas_;
  std::optional<CublasLtGemm> gemm_;
};

TEST_P(CublasLtGemmTest, IsCloseToTheOracleBeforeAndAfterTuning) {
  const Case& c = GetParam();
  const std::vector<uint16_t> x = RandomHalves(c.type, int64_t{c.rows} * c.inputs, /*seed=*/1);
  const float scale = 1 / std::sqrt(static_cast<float>(c.inputs));
  const std::vector<uint16_t> weight =
      RandomHalves(c.type, int64_t{c.outputs} * c.inputs, /*seed=*/2, scale);
  const int64_t count = int64_t{c.rows} * c.outputs;
  std::vector<float> expected(static_cast<size_t>(count));
  Linear linear = {.rows = c.rows,
                   .outputs = c.outputs,
                   .inputs = c.inputs,
                   .type = c.type,
                   .x = x.data(),
                   .weight = weight.data(),
                   .out_f32 = expected.data()};
  LinearReference(linear);
  const DeviceBuffer<uint16_t> device_x = Upload(x);
  const DeviceBuffer<uint16_t> device_weight = Upload(weight), other_weight = Upload(weight);
  linear.x = device_x.data();
  linear.weight = device_weight.data();

  for (const bool tuned : {false, true}) {
    const DeviceBuffer<uint16_t> out = Poisoned<uint16_t>(count);
    const DeviceBuffer<float> out_f32 = Poisoned<float>(count);
    linear.out = c.out_f32 ? nullptr : out.data();
    linear.out_f32 = c.out_f32 ? out_f32.data() : nullptr;
    if (tuned) {
      const uint16_t* const weights[] = {device_weight.data(), other_weight.data()};
      const absl::Status status = gemm_->Tune(stream(), linear, weights);
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_TRUE(FillAsync(stream(), out.data(), 0xff, out.bytes()).ok());
      ASSERT_TRUE(FillAsync(stream(), out_f32.data(), 0xff, out_f32.bytes()).ok());
    }
    const absl::Status status = gemm_->Run(stream(), linear);
    ASSERT_TRUE(status.ok()) << status;
    const std::vector<float> result =
        c.out_f32 ? Download(out_f32) : ToFloats(c.type, Download(out));
    EXPECT_TRUE(AreClose(result, expected, c.out_f32 ? 1e-4f : EpsilonOf(c.type)))
        << (tuned ? "tuned" : "guessed");
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CublasLtGemmTest,
                         ::testing::Values(Case{1, 64, 576, HalfType::kBf16, false},
                                           Case{16, 256, 1536, HalfType::kBf16, true},
                                           Case{33, 136, 1024, HalfType::kF16, false},
                                           Case{128, 512, 512, HalfType::kBf16, false},
                                           Case{257, 64, 4096, HalfType::kF16, true}));

}  // namespace
}  // namespace spillway
