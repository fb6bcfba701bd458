// e^x of worker/kernels/lane_math.inc: its error against double, its promises at the edges.

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/worker/kernels/kernel_cases.h"

namespace spillway {
namespace {

class ExpTest : public KernelTest {
 protected:
  float Exp(float x) const {
    std::vector<float> lanes(16, x);
    kernels().exp(lanes.data(), 16, lanes.data());
    return lanes[0];
  }
};

TEST_P(ExpTest, IsWithinTheDocumentedErrorAndHasThePortableBits) {
  std::vector<float> x;
  for (int32_t i = -872000; i < 882000; i += 7) x.push_back(static_cast<float>(i) * 1e-4f);
  x.resize(x.size() / 16 * 16);
  std::vector<float> out(x.size()), portable_out(x.size());

  kernels().exp(x.data(), static_cast<int32_t>(x.size()), out.data());
  portable().exp(x.data(), static_cast<int32_t>(x.size()), portable_out.data());

  EXPECT_TRUE(SameBits(out, portable_out));
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(double{x[i]});
    worst = std::max(worst, std::fabs(out[i] - expected) / expected);
  }
  EXPECT_LT(worst, 1.2e-7);
}

TEST_P(ExpTest, KeepsItsPromisesAtTheEdges) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-0.0f), 1.0f);
  EXPECT_EQ(Exp(-infinity), 0.0f);
  EXPECT_EQ(Exp(-87.4f), 0.0f);
  EXPECT_EQ(Exp(-1e30f), 0.0f);
  EXPECT_EQ(Exp(88.4f), infinity);
  EXPECT_EQ(Exp(infinity), infinity);
  EXPECT_TRUE(std::isnan(Exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST_P(ExpTest, SoftCapIsATanhWithThePortableBits) {
  for (const float cap : {0.5f, 3.0f, 50.0f}) {
    std::vector<float> x;
    for (int32_t i = -4000; i < 4000; ++i) x.push_back(static_cast<float>(i) * 1e-3f * cap);
    x.insert(x.end(), {1e30f, -1e30f, 1e-30f, 0.0f});
    x.resize((x.size() + 15) / 16 * 16);
    std::vector<float> out = x;
    std::vector<float> portable_out = x;

    kernels().soft_cap(cap, static_cast<int32_t>(x.size()), out.data());
    portable().soft_cap(cap, static_cast<int32_t>(x.size()), portable_out.data());

    EXPECT_TRUE(SameBits(out, portable_out));
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(out[i], cap * std::tanh(double{x[i]} / cap), 3e-7 * cap) << x[i];
    }
  }
}

INSTANTIATE_FOR_EVERY_ISA(ExpTest);

}  // namespace
}  // namespace spillway
