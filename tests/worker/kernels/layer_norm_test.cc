// worker/kernels/layer_norm.h: every instruction set against the reference and against each other.

#include "worker/kernels/layer_norm.h"

#include "tests/worker/kernels/kernel_cases.h"

namespace spillway {
namespace {

using LayerNormTest = KernelTest;

TEST_P(LayerNormTest, IsCloseToTheReferenceAndHasThePortableBits) {
  for (const int32_t columns : {1, 10, 16, 40, 384, 1024}) {
    const int32_t room = (columns + 15) / 16 * 16;
    std::vector<float> x = RandomFloats(room, /*seed=*/3, /*scale=*/5);
    for (float& value : x) value += 7;  // Far from centred, as residual streams are.
    const std::vector<float> weight = RandomFloats(room, /*seed=*/4);
    const std::vector<float> bias = RandomFloats(room, /*seed=*/5);
    std::vector<float> out(x.size(), 9), portable_out(x.size(), 9), expected(x.size());

    kernels().layer_norm(x.data(), weight.data(), bias.data(), columns, 1e-12f, out.data());
    portable().layer_norm(x.data(), weight.data(), bias.data(), columns, 1e-12f,
                          portable_out.data());
    LayerNormReference(x.data(), weight.data(), bias.data(), columns, 1e-12f, expected.data());

    EXPECT_TRUE(SameBits(out, portable_out));
    if (columns == 1) continue;  // Without a spread there is only noise to divide by.
    for (size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], expected[i], 4e-6f) << columns;
  }
}

TEST_P(LayerNormTest, WorksInPlaceAndLeavesZerosBehindTheRow) {
  std::vector<float> x(32, 5.0f), ones(32, 1.0f), bias(32, 0.25f);

  kernels().layer_norm(x.data(), ones.data(), bias.data(), 20, 1e-5f, x.data());

  std::vector<float> expected(32, 0.0f);
  for (size_t i = 0; i < 20; ++i) expected[i] = 0.25f;
  EXPECT_EQ(x, expected);
}

INSTANTIATE_FOR_EVERY_ISA(LayerNormTest);

}  // namespace
}  // namespace spillway
