// worker/kernels/rms_norm.h: every instruction set against the reference and against each other.

#include "worker/kernels/rms_norm.h"

#include "tests/worker/kernels/kernel_cases.h"

namespace spillway {
namespace {

using RmsNormTest = KernelTest;

TEST_P(RmsNormTest, IsCloseToTheReferenceAndHasThePortableBits) {
  for (const int32_t columns : {16, 64, 576, 2048, 10, 49}) {
    const auto count = static_cast<size_t>(columns);
    std::vector<float> x = RandomFloats(columns, /*seed=*/3, /*scale=*/5);
    std::vector<float> weight = RandomFloats(columns, /*seed=*/4);
    x.resize((count + 15) / 16 * 16);
    weight.resize(x.size(), 7.0f);
    std::vector<float> out(x.size()), portable_out(x.size()), expected(x.size());

    kernels().rms_norm(x.data(), weight.data(), columns, 1e-5f, out.data());
    portable().rms_norm(x.data(), weight.data(), columns, 1e-5f, portable_out.data());
    RmsNormReference(x.data(), weight.data(), columns, 1e-5f, expected.data());

    EXPECT_TRUE(SameBits(out, portable_out));
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(out[i], expected[i], 2e-6f);
  }
}

TEST_P(RmsNormTest, EpsilonKeepsZerosFinite) {
  std::vector<float> x(32), weight(32, 1.0f);

  kernels().rms_norm(x.data(), weight.data(), 32, 1e-5f, x.data());

  EXPECT_TRUE(SameBits(x, std::vector<float>(32)));
}

INSTANTIATE_FOR_EVERY_ISA(RmsNormTest);

}  // namespace
}  // namespace spillway
