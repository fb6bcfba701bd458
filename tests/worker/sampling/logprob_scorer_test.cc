// worker/sampling/logprob_scorer.h against log(softmax) in plain double arithmetic.

#include "worker/sampling/logprob_scorer.h"

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

struct Scored {
  float logprob = 0;
  int32_t rank = 0;
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
};

Scored Score(const std::vector<float>& logits, TokenId token, size_t top) {
  LogprobScorer scorer(static_cast<int32_t>(logits.size()));
  std::vector<TokenLogprob> memory(top);
  const TokenScore score = scorer.Score(logits, token, memory);
  Scored scored = {.logprob = score.logprob, .rank = score.rank, .tokens = {}, .logprobs = {}};
  for (const TokenLogprob& entry : score.top) {
    scored.tokens.push_back(entry.token);
    scored.logprobs.push_back(entry.logprob);
  }
  return scored;
}

std::vector<double> LogSoftmax(const std::vector<float>& logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float logit : logits) total += std::exp(logit - max);
  std::vector<double> out;
  for (const float logit : logits) out.push_back(logit - max - std::log(total));
  return out;
}

TEST(LogprobScorerTest, IsTheLogOfTheSoftmax) {
  std::mt19937 random(3);
  for (const size_t size : {1, 5, 63, 64, 65, 1000, 49152}) {
    std::normal_distribution<float> noise(0, 4);
    std::vector<float> logits(size);
    for (float& logit : logits) logit = noise(random);
    const std::vector<double> expected = LogSoftmax(logits);
    std::vector<size_t> order(size);
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, [&](size_t a, size_t b) { return logits[a] > logits[b]; });

    const size_t top = std::min<size_t>(size, 20);
    const auto place = static_cast<size_t>(random() % size);
    const auto token = static_cast<TokenId>(order[place]);
    const Scored scored = Score(logits, token, top);

    EXPECT_NEAR(scored.logprob, expected[order[place]], 2e-5) << size;
    EXPECT_EQ(scored.rank, static_cast<int32_t>(place) + 1) << size;
    ASSERT_EQ(scored.tokens.size(), top);
    for (size_t i = 0; i < top; ++i) {
      EXPECT_EQ(scored.tokens[i], static_cast<TokenId>(order[i])) << size << " " << i;
      EXPECT_NEAR(scored.logprobs[i], expected[order[i]], 2e-5) << size << " " << i;
    }
  }
}

TEST(LogprobScorerTest, OfEqualsTheLowerIdComesFirst) {
  std::vector<float> logits(300, 1.0f);
  logits[200] = 2;
  const Scored scored = Score(logits, 299, 4);
  EXPECT_EQ(scored.tokens, (std::vector<TokenId>{200, 0, 1, 2}));
  EXPECT_EQ(scored.rank, 2);  // nothing but token 200 is likelier
}

TEST(LogprobScorerTest, AllTokensMayBeAskedFor) {
  const Scored scored = Score({0, 3, kNan, 1}, 1, 4);
  EXPECT_EQ(scored.tokens, (std::vector<TokenId>{1, 3, 0, 2}));
  EXPECT_EQ(scored.logprobs[3], -kInfinity);
}

TEST(LogprobScorerTest, WhatIsNoNumberIsImpossibleAndInfinityIsTheLargest) {
  EXPECT_EQ(Score({1, kNan, -kInfinity}, 1, 0).logprob, -kInfinity);
  EXPECT_EQ(Score({1, kNan, -kInfinity}, 2, 0).logprob, -kInfinity);
  EXPECT_EQ(Score({1, kNan, -kInfinity}, 0, 0).logprob, 0);
  EXPECT_EQ(Score({1, kInfinity}, 1, 0).logprob, 0);
  EXPECT_EQ(Score({1, kInfinity}, 1, 0).rank, 1);
}

TEST(LogprobScorerTest, LogitsWithoutNumbersHaveNoScore) {
  const Scored scored = Score({kNan, -kInfinity}, 0, 2);
  EXPECT_TRUE(std::isnan(scored.logprob));
  EXPECT_TRUE(scored.tokens.empty());
}

TEST(LogprobScorerTest, AScoreLeavesNothingBehind) {
  LogprobScorer scorer(100);
  std::vector<float> first(100, 0.0f);
  first[7] = 5;
  std::vector<float> second(100, 0.0f);
  second[70] = 6;
  std::vector<TokenLogprob> top(3);
  scorer.Score(first, 1, top);
  const TokenScore reused = scorer.Score(second, 70, top);
  const Scored fresh = Score(second, 70, 3);
  EXPECT_EQ(reused.logprob, fresh.logprob);
  EXPECT_EQ(reused.top[0].token, 70);
  EXPECT_EQ(reused.top[1].token, 0);
}

}  // namespace
}  // namespace spillway
