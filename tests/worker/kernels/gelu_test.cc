// worker/kernels/gelu.h: every instruction set against the reference and against each other.

#include "worker/kernels/gelu.h"

#include <cmath>
#include <limits>

#include "tests/worker/kernels/kernel_cases.h"

namespace spillway {
namespace {

using GeluTest = KernelTest;

TEST_P(GeluTest, IsWithinTheDocumentedErrorAndHasThePortableBits) {
  std::vector<float> x;
  for (int32_t i = -160'000; i < 160'000; i += 3) x.push_back(static_cast<float>(i) * 1e-4f);
  x.resize(x.size() / 16 * 16);
  std::vector<float> out = x, portable_out = x, expected = x;
  const auto count = static_cast<int32_t>(x.size());

  kernels().gelu(count, out.data());
  portable().gelu(count, portable_out.data());
  GeluReference(count, expected.data());

  EXPECT_TRUE(SameBits(out, portable_out));
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(out[i], expected[i], 3e-7f * std::max(1.0f, std::fabs(x[i]))) << x[i];
  }
}

TEST_P(GeluTest, KeepsItsPromisesAtTheEdges) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> x(16, 0.0f);
  x[1] = 100;
  x[2] = -100;
  x[3] = kInfinity;
  x[4] = std::numeric_limits<float>::quiet_NaN();

  kernels().gelu(16, x.data());

  EXPECT_EQ(x[0], 0);
  EXPECT_EQ(x[1], 100);
  EXPECT_EQ(x[2], 0);
  EXPECT_EQ(x[3], kInfinity);
  EXPECT_TRUE(std::isnan(x[4]));
}

INSTANTIATE_FOR_EVERY_ISA(GeluTest);

}  // namespace
}  // namespace spillway
