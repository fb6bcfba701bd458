#include "router/model_price.h"

#include <limits>
#include <random>

#include "common/money.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

const ModelPrice kPrice = {.currency = "CNY",
                           .input_nano = *ParseMoney("0.8"),
                           .cached_input_nano = *ParseMoney("0.16"),
                           .output_nano = *ParseMoney("2"),
                           .thinking_nano = *ParseMoney("8")};

TEST(ModelPriceTest, ABoundTakesEachByteForATokenAndEachTokenForTheDearest) {
  // 1,000,000 bytes at 0.8, and (100,000 + 25,000) tokens at 8.
  EXPECT_EQ(PriceBound(kPrice, {.prompt_bytes = 1'000'000,
                                .completion_tokens_max = 100'000,
                                .thinking_tokens_max = 25'000}),
            *ParseMoney("1.8"));
  EXPECT_EQ(PriceBound(kPrice, {.completion_tokens_max = 100'000, .answers = 3}),
            *ParseMoney("2.4"));
}

TEST(ModelPriceTest, ACostTellsKindsOfTokensApart) {
  EXPECT_EQ(CostOf(kPrice, {.prompt_tokens = 1'000'000,
                            .cached_tokens = 500'000,
                            .completion_tokens = 1'000'000,
                            .thinking_tokens = 250'000}),
            *ParseMoney("0.4") + *ParseMoney("0.08") + *ParseMoney("1.5") + *ParseMoney("2"));
  ModelPrice plain = {.input_nano = 10, .output_nano = 20};
  EXPECT_EQ(CostOf(plain, {.prompt_tokens = 1'000'000,
                           .cached_tokens = 9,
                           .completion_tokens = 1'000'000,
                           .thinking_tokens = 9}),
            30);
}

TEST(ModelPriceTest, PartsAreRoundedUp) {
  EXPECT_EQ(CostOf({.input_nano = 1}, {.prompt_tokens = 1}), 1);
  EXPECT_EQ(CostOf({.input_nano = 1}, {.prompt_tokens = 1'000'001}), 2);
  EXPECT_EQ(CostOf(kPrice, {}), 0);
}

TEST(ModelPriceTest, NothingOverflows) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(PriceBound({.input_nano = kMost, .output_nano = kMost}, {.prompt_bytes = kMost,
                                                                     .completion_tokens_max = kMost,
                                                                     .thinking_tokens_max = kMost,
                                                                     .answers = 128}),
            kMost);
  EXPECT_EQ(CostOf({.output_nano = kMost}, {.completion_tokens = kMost}), kMost);
  EXPECT_EQ(CostOf(kPrice, {.prompt_tokens = -5, .cached_tokens = 7, .completion_tokens = -1}), 0);
}

// What is reserved is enough for whatever is used within what was asked for.
TEST(ModelPriceTest, ABoundIsNeverBelowTheCost) {
  std::mt19937_64 random(1);
  const auto draw = [&](uint64_t below) { return static_cast<int64_t>(random() % below); };
  for (int i = 0; i < 10'000; ++i) {
    ModelPrice price = {.input_nano = draw(5'000'000'000), .output_nano = draw(50'000'000'000)};
    if (draw(2) == 0) price.cached_input_nano = draw(6'000'000'000);
    if (draw(2) == 0) price.thinking_nano = draw(90'000'000'000);
    const PriceDemand demand = {.prompt_bytes = draw(100'000),
                                .completion_tokens_max = draw(9000),
                                .thinking_tokens_max = draw(9000),
                                .answers = 1 + draw(3)};
    PricedUsage usage = {.prompt_tokens = draw(static_cast<uint64_t>(demand.prompt_bytes) + 1)};
    usage.cached_tokens = draw(static_cast<uint64_t>(usage.prompt_tokens) + 1);
    usage.thinking_tokens =
        demand.answers * draw(static_cast<uint64_t>(demand.thinking_tokens_max) + 1);
    usage.completion_tokens =
        usage.thinking_tokens +
        demand.answers * draw(static_cast<uint64_t>(demand.completion_tokens_max) + 1);
    ASSERT_GE(PriceBound(price, demand), CostOf(price, usage)) << i;
  }
}

}  // namespace
}  // namespace spillway
