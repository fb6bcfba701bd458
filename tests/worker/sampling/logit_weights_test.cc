#include "worker/sampling/logit_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> WeightsOf(const std::vector<float>& logits, float max, float temperature = 1) {
  std::vector<float> weights(logits.size());
  Weights(logits, max, temperature, weights);
  return weights;
}

TEST(LogitWeightsTest, ArgMaxIsTheFirstOfEquals) {
  for (const size_t size : {1u, 15u, 16u, 63u, 64u, 65u, 1000u}) {
    for (size_t place = 0; place < size; place += 7) {
      std::vector<float> logits(size, -3);
      logits[place] = 5;
      logits[size - 1] = 5;
      EXPECT_EQ(ArgMax(logits), static_cast<ptrdiff_t>(place)) << size;
    }
  }
}

TEST(LogitWeightsTest, ArgMaxPassesOverNan) {
  EXPECT_EQ(ArgMax(std::vector<float>{kNan, -kInfinity, 1, kNan}), 2);
  EXPECT_EQ(ArgMax(std::vector<float>{1, kNan, kInfinity}), 2);
  EXPECT_EQ(ArgMax(std::vector<float>(100, kNan)), -1);
  EXPECT_EQ(ArgMax(std::vector<float>{-kInfinity, kNan}), -1);
}

TEST(LogitWeightsTest, BlockMaximaAreThoseOfEachBlock) {
  std::vector<float> logits(130, -1);
  logits[3] = kNan;
  logits[64] = 2;
  logits[129] = 3;
  std::vector<float> maxima(LogitBlocks(logits.size()));

  BlockMaxima(logits, maxima);

  EXPECT_EQ(maxima, (std::vector<float>{-1, 2, 3}));
}

TEST(LogitWeightsTest, AreExponentials) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> logit(-25, 0);
  std::vector<float> logits(10'001);
  for (float& value : logits) value = logit(random);
  logits[77] = 0;
  for (const float temperature : {0.3f, 1.0f, 1.7f}) {
    const std::vector<float> weights = WeightsOf(logits, 0, temperature);

    for (size_t i = 0; i < logits.size(); ++i) {
      const double exact = std::exp(static_cast<double>(logits[i] / temperature));
      ASSERT_NEAR(weights[i], exact, exact * 3e-7 + 0x1p-33) << logits[i];
    }
    EXPECT_EQ(weights[77], 1) << "the heaviest weighs exactly 1";
  }
}

TEST(LogitWeightsTest, AreMultiplesOfTheGridAndAtMostOne) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> logit(-24, 0);
  std::vector<float> logits(100'000);
  for (float& value : logits) value = logit(random);
  for (const float weight : WeightsOf(logits, 0)) {
    const double steps = static_cast<double>(weight) * 0x1p32;
    ASSERT_EQ(steps, std::floor(steps));
    ASSERT_LE(weight, 1);
  }
}

TEST(LogitWeightsTest, OddLogits) {
  const float largest = std::numeric_limits<float>::max();

  EXPECT_EQ(WeightsOf({2, kNan, -kInfinity, -largest}, 2), (std::vector<float>{1, 0, 0, 0}));
  EXPECT_EQ(WeightsOf({kInfinity, 2, kInfinity}, kInfinity), (std::vector<float>{1, 0, 1}));
  EXPECT_EQ(WeightsOf({3, 2.999f, 3}, 3, std::numeric_limits<float>::denorm_min()),
            (std::vector<float>{1, 0, 1}));
}

TEST(LogitWeightsTest, SumsAreTheSameInEveryOrder) {
  std::mt19937 random(3);
  std::normal_distribution<float> logit(0, 5);
  std::vector<float> logits(50'003);
  for (float& value : logits) value = logit(random);
  std::vector<float> weights = WeightsOf(logits, *std::max_element(logits.begin(), logits.end()));
  std::vector<double> sums(LogitBlocks(weights.size()));

  const double total = BlockSums(weights, sums);

  EXPECT_EQ(total, std::accumulate(sums.begin(), sums.end(), 0.0));
  EXPECT_EQ(total, std::accumulate(weights.begin(), weights.end(), 0.0));
  EXPECT_EQ(total, std::accumulate(weights.rbegin(), weights.rend(), 0.0));
  std::sort(weights.begin(), weights.end());
  EXPECT_EQ(total, std::accumulate(weights.begin(), weights.end(), 0.0));
  std::shuffle(weights.begin(), weights.end(), random);
  EXPECT_EQ(total, BlockSums(weights, sums));
}

TEST(LogitWeightsTest, AMillionEqualTokensStillAddUpExactly) {
  const std::vector<float> weights(1 << 20, 1 - 0x1p-24f);
  std::vector<double> sums(LogitBlocks(weights.size()));

  EXPECT_EQ(BlockSums(weights, sums), 0x1p20 - 0x1p-4);
}

}  // namespace
}  // namespace spillway
