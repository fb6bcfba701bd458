#include "worker/sampling/sampler.h"

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/sampling/draw.h"
#include "worker/sampling/logit_weights.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Row {
  std::vector<float> logits;
  SamplingParams params = {};
  std::vector<TokenId> history = {};
  TokenId pending = -1;
  int32_t prompt_tokens = 0;
  std::vector<TokenId> banned = {};
};

absl::StatusOr<TokenId> SampleAt(const Row& row, int64_t position) {
  Sampler sampler(static_cast<int32_t>(row.logits.size()));
  return sampler.Sample(
      row.logits, row.params,
      {.tokens = row.history, .pending = row.pending, .prompt_tokens = row.prompt_tokens},
      row.banned, position);
}

TokenId Greedy(Row row) {
  row.params.temperature = 0;
  return *SampleAt(row, 0);
}

// All tokens that come up in many draws.
std::set<TokenId> Drawn(const Row& row) {
  std::set<TokenId> drawn;
  for (int64_t position = 0; position < 400; ++position) {
    drawn.insert(*SampleAt(row, position));
  }
  return drawn;
}

TEST(SamplerTest, TemperatureZeroTakesTheLikeliest) {
  EXPECT_EQ(Greedy({.logits = {0, 3, 1, 3, -2}}), 1) << "the lowest id of equals";
}

TEST(SamplerTest, LogitBiasComesFirst) {
  EXPECT_EQ(Greedy({.logits = {0, 3, 1}, .params = {.logit_bias = {{2, 5.0f}}}}), 2);
  EXPECT_EQ(Greedy({.logits = {0, 3, 1}, .params = {.logit_bias = {{1, -100.0f}}}}), 2);
  // Biased to 4, then divided by 2.
  EXPECT_EQ(Greedy({.logits = {0, 3, 1},
                    .params = {.repetition_penalty = 2, .logit_bias = {{2, 3.0f}}},
                    .history = {2},
                    .prompt_tokens = 1}),
            1);
}

TEST(SamplerTest, RepetitionPenaltyPullsPromptAndOutputTowardsZeroAndBelow) {
  const SamplingParams params{.repetition_penalty = 2};
  EXPECT_EQ(Greedy({.logits = {3, 4}, .params = params, .history = {1}, .prompt_tokens = 1}), 0);
  EXPECT_EQ(Greedy({.logits = {3, 4}, .params = params, .history = {1}, .prompt_tokens = 0}), 0);
  EXPECT_EQ(Greedy({.logits = {3, 4}, .params = params, .pending = 1}), 0);
  EXPECT_EQ(Greedy({.logits = {-3, -2}, .params = params, .history = {1}, .prompt_tokens = 1}), 0);
  // Once, however often the token occurred: 7 / 2 > 3 > 7 / 4.
  EXPECT_EQ(Greedy({.logits = {3, 7}, .params = params, .history = {1, 1}, .prompt_tokens = 1}), 1);
}

TEST(SamplerTest, PresencePenaltyIsOfTheOutputAndOnce) {
  const SamplingParams params{.presence_penalty = 1.5f};
  EXPECT_EQ(Greedy({.logits = {3, 4}, .params = params, .history = {1}, .prompt_tokens = 1}), 1);
  EXPECT_EQ(Greedy({.logits = {3, 4}, .params = params, .history = {1}, .prompt_tokens = 0}), 0);
  EXPECT_EQ(Greedy({.logits = {3, 4}, .params = params, .pending = 1}), 0);
  EXPECT_EQ(Greedy({.logits = {3, 5}, .params = params, .history = {1, 1}}), 1);
}

TEST(SamplerTest, FrequencyPenaltyCountsTheOutputAndThePendingToken) {
  const SamplingParams params{.frequency_penalty = 0.75f};
  EXPECT_EQ(Greedy({.logits = {3, 4}, .params = params, .history = {1, 1}, .prompt_tokens = 1}), 1);
  EXPECT_EQ(Greedy({.logits = {3, 4}, .params = params, .history = {1, 1}, .prompt_tokens = 0}), 0);
  EXPECT_EQ(Greedy({.logits = {3, 4},
                    .params = params,
                    .history = {1, 1},
                    .pending = 1,
                    .prompt_tokens = 1}),
            0);
}

TEST(SamplerTest, RepetitionComesBeforeTheOtherPenalties) {
  // 4 / 2 - 1 = 1 > 0.9; the other order would give (4 - 1) / 2 = 1.5, and below 1.2.
  const Row row{.logits = {1.2f, 4},
                .params = {.presence_penalty = 1, .repetition_penalty = 2},
                .history = {1}};
  EXPECT_EQ(Greedy(row), 0);
}

TEST(SamplerTest, ForgetsTheHistoryOfTheLastCall) {
  Sampler sampler(2);
  const SamplingParams params{.temperature = 0, .frequency_penalty = 2};
  const std::vector<float> logits = {3, 4};
  const std::vector<TokenId> history = {1, 1, 1};
  ASSERT_EQ(*sampler.Sample(logits, params, {.tokens = history}, {}, 3), 0);

  EXPECT_EQ(*sampler.Sample(logits, params, {}, {}, 3), 1);
  EXPECT_EQ(*sampler.Sample(logits, params, {.tokens = history}, {}, 3), 0);
}

TEST(SamplerTest, BannedTokensAreOutWhateverTheirBias) {
  const Row row{.logits = {0, 3, 1}, .params = {.logit_bias = {{1, 100.0f}}}, .banned = {1}};
  EXPECT_EQ(Greedy(row), 2);
  EXPECT_THAT(Drawn(row), ElementsAre(0, 2));
}

TEST(SamplerTest, TopKKeepsTheHighestLogits) {
  const std::vector<float> logits = {1, 1.2f, 0.9f, 1.2f, 1};
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_k = 1}}), ElementsAre(1));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_k = 3}}), ElementsAre(0, 1, 3));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_k = 5}}), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_k = 0}}), ElementsAre(0, 1, 2, 3, 4));
}

TEST(SamplerTest, TopPKeepsTheFewestThatReachIt) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits = {-2 * ln2, -ln2, -3 * ln2, -3 * ln2};
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.3f}}), ElementsAre(1));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.7f}}), ElementsAre(0, 1));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.8f}}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.9f}}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 1e-6f}}), ElementsAre(1));
}

TEST(SamplerTest, TopPIsOfWhatTopKKept) {
  // Of the two kept 2/3 and 1/3: the first alone has 0.6 of them, but not of all.
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits = {-2 * ln2, -ln2, -3 * ln2, -3 * ln2};
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.6f, .top_k = 2}}), ElementsAre(1));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.6f}}), ElementsAre(0, 1));
}

TEST(SamplerTest, MinPIsRelativeToTheHeaviest) {
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits = {-2 * ln2, -ln2, -3 * ln2, -4 * ln2};
  EXPECT_THAT(Drawn({.logits = logits, .params = {.min_p = 0.45f}}), ElementsAre(0, 1));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.min_p = 0.2f}}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.min_p = 0.99f}}), ElementsAre(1));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_k = 3, .min_p = 0.45f}}), ElementsAre(0, 1));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.99f, .min_p = 0.45f}}),
              ElementsAre(0, 1));
}

TEST(SamplerTest, MinPKeepsWhatEqualsIt) {
  const std::vector<float> logits = {0, -1.25f};
  std::vector<float> weights(2);
  Weights(logits, 0, 1, weights);
  for (const float top_p : {1.0f, 0.9999f}) {
    EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = top_p, .min_p = weights[1]}}),
                ElementsAre(0, 1));
    EXPECT_THAT(Drawn({.logits = logits,
                       .params = {.top_p = top_p, .min_p = std::nextafter(weights[1], 1.0f)}}),
                ElementsAre(0));
  }
}

TEST(SamplerTest, TopPGoesBeforeMinP) {
  // 4 : 3 : 1. top_p 0.6 keeps two of them; after min_p 0.5 it would have kept the same two, but
  // 0.55 of what min_p leaves is the first alone.
  const std::vector<float> logits = {std::log(4.0f), std::log(3.0f), std::log(1.0f)};
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.55f, .min_p = 0.5f}}),
              ElementsAre(0, 1));
}

TEST(SamplerTest, TemperatureDividesTheLogits) {
  // At 0.5 the ratio 4 becomes 16, so token 1 falls below min_p.
  const std::vector<float> logits = {std::log(4.0f), 0};
  EXPECT_THAT(Drawn({.logits = logits, .params = {.temperature = 1, .min_p = 0.1f}}),
              ElementsAre(0, 1));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.temperature = 0.5f, .min_p = 0.1f}}),
              ElementsAre(0));
}

TEST(SamplerTest, TheTiniestTemperatureIsGreedy) {
  const std::vector<float> logits = {2, 2.5f, 1};
  EXPECT_THAT(Drawn({.logits = logits, .params = {.temperature = 1e-45f}}), ElementsAre(1));
}

TEST(SamplerTest, NanAndMinusInfinityAreNeverChosen) {
  const std::vector<float> logits = {kNan, -1, -kInfinity, -1.5f, kNan};
  EXPECT_EQ(Greedy({.logits = logits}), 1);
  EXPECT_THAT(Drawn({.logits = logits}), ElementsAre(1, 3));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_k = 4}}), ElementsAre(1, 3));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.99f}}), ElementsAre(1, 3));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.min_p = 0.01f}}), ElementsAre(1, 3));
}

TEST(SamplerTest, PlusInfinityWins) {
  const std::vector<float> logits = {5, kInfinity, 2, kInfinity};
  EXPECT_EQ(Greedy({.logits = logits}), 1);
  EXPECT_THAT(Drawn({.logits = logits}), ElementsAre(1, 3));
  EXPECT_THAT(Drawn({.logits = logits, .params = {.top_p = 0.9f, .top_k = 3}}), ElementsAre(1, 3));
}

TEST(SamplerTest, FailsWhenNothingCanBeChosen) {
  for (const float temperature : {0.0f, 1.0f}) {
    const SamplingParams params{.temperature = temperature};
    EXPECT_EQ(SampleAt({.logits = {kNan, -kInfinity}, .params = params}, 0).status().code(),
              absl::StatusCode::kInternal);
    EXPECT_EQ(SampleAt({.logits = {1, 2}, .params = params, .banned = {0, 1}}, 0).status().code(),
              absl::StatusCode::kInternal);
  }
}

TEST(SamplerTest, TheDrawLaysTheTokensOutById) {
  // Weights 1 : 3 : 4 (of 8), so the eighths of [0, 1) belong to 0, 1 1 1, 2 2 2 2.
  const std::vector<float> logits = {0, std::log(3.0f), std::log(4.0f)};
  for (const SamplingParams& params : {SamplingParams{.seed = 3}, {.top_p = 0.9999f, .seed = 3}}) {
    for (int64_t position = 0; position < 100; ++position) {
      const double draw = UniformDraw(3, position);
      const TokenId expected = draw < 0.125 ? 0 : draw < 0.5 ? 1 : 2;
      EXPECT_EQ(*SampleAt({.logits = logits, .params = params}, position), expected) << draw;
    }
  }
}

TEST(SamplerTest, DependsOnSeedAndPositionAlone) {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 17) / 4;
  Sampler busy(1000);
  const std::vector<TokenId> used = {1, 2, 3};
  std::set<TokenId> by_position;
  std::set<TokenId> by_seed;
  for (int i = 0; i < 50; ++i) {
    const SamplingParams params{.top_p = 0.9f, .seed = 11};
    const TokenId fresh = *SampleAt({.logits = logits, .params = params}, i);
    // After whatever else it was used for.
    (void)busy.Sample(logits, {.top_k = 7, .frequency_penalty = 1},
                      {.tokens = used, .pending = 4, .prompt_tokens = 1}, {{5}}, i);
    EXPECT_EQ(*busy.Sample(logits, params, {}, {}, i), fresh);
    by_position.insert(fresh);
    const SamplingParams other{.top_p = 0.9f, .seed = static_cast<uint64_t>(i)};
    by_seed.insert(*SampleAt({.logits = logits, .params = other}, 0));
  }
  EXPECT_GT(by_position.size(), 30u);
  EXPECT_GT(by_seed.size(), 30u);
}

TEST(SamplerDeathTest, RefusesTokensOutsideOfTheVocabulary) {
  const SamplingParams params{.temperature = 0, .presence_penalty = 1};
  EXPECT_DEATH(SampleAt({.logits = {1, 2}, .params = params, .history = {2}}, 0).IgnoreError(),
               "vocabulary_size_");
  EXPECT_DEATH(SampleAt({.logits = {1, 2}, .banned = {-1}}, 0).IgnoreError(), "vocabulary_size_");
}

TEST(SamplerTest, OnlyWhatIsAllowedIsChosen) {
  std::vector<float> logits(70, 1.0f);
  logits[3] = 9;
  std::vector<int32_t> allowed(3, 0);
  allowed[1] = 1 << 8;  // 40
  allowed[2] = 1 << 5;  // 69
  Sampler sampler(70);
  for (const SamplingParams& params :
       {SamplingParams{.temperature = 0}, SamplingParams{.temperature = 5, .seed = 3},
        SamplingParams{.temperature = 1, .top_k = 2}, SamplingParams{.frequency_penalty = 1}}) {
    for (int64_t position = 0; position < 20; ++position) {
      const TokenId token = *sampler.Sample(logits, params, {}, {}, position, allowed);
      EXPECT_TRUE(token == 40 || token == 69) << token;
    }
  }
  EXPECT_EQ(*sampler.Sample(logits, {.temperature = 0}, {}, {}, 0), 3);
  EXPECT_FALSE(sampler.Sample(logits, {}, {}, {}, 0, std::vector<int32_t>(3, 0)).ok());
}

}  // namespace
}  // namespace spillway
