#include "router/provider_charge.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr int64_t kToken = 1'000'000;  // of a price, so that a token costs one

const ModelPrice kPrice = {.currency = "CNY", .input_nano = kToken, .output_nano = 2 * kToken};
const PriceDemand kDemand = {
    .prompt_bytes = 100, .completion_tokens_max = 50, .thinking_tokens_max = 10, .answers = 2};
constexpr int64_t kBound = 100 + 2 * 2 * 60;
const AnswerUsage kUsage = {.prompt_tokens = 30, .completion_tokens = 20};
constexpr int64_t kCost = 30 + 2 * 20;

int64_t Bounded(AttemptEnd end, std::optional<AnswerUsage> usage, int64_t text_bytes) {
  return ChargeOfBounded(kPrice, kDemand, end, usage, text_bytes);
}

TEST(ProviderChargeTest, WhatEndedIsChargedByTheProvidersWord) {
  EXPECT_EQ(Bounded(AttemptEnd::kFinished, kUsage, 80), kCost);
  EXPECT_EQ(Bounded(AttemptEnd::kFree, std::nullopt, 0), 0);
}

TEST(ProviderChargeTest, WhereItSaysNothingNoLessThanItCanHaveBeen) {
  // A token for each byte, and all the thinking of both answers.
  EXPECT_EQ(Bounded(AttemptEnd::kFinished, std::nullopt, 7), 100 + 2 * (7 + 2 * 10));
  EXPECT_EQ(Bounded(AttemptEnd::kFinished, std::nullopt, 1000), kBound);
  EXPECT_EQ(Bounded(AttemptEnd::kFinished, std::nullopt, 0), kBound);
  // Text that took no tokens, or came of no prompt: nobody counted.
  EXPECT_EQ(Bounded(AttemptEnd::kFinished, AnswerUsage(), 0), kBound);
  EXPECT_EQ(Bounded(AttemptEnd::kFinished, AnswerUsage{.prompt_tokens = 30}, 1000), kBound);
}

TEST(ProviderChargeTest, AnUnknownEndCountsInFull) {
  EXPECT_EQ(Bounded(AttemptEnd::kUnknown, std::nullopt, 7), kBound);
  EXPECT_EQ(Bounded(AttemptEnd::kUnknown, kUsage, 7), kBound);
  const AnswerUsage more = {.prompt_tokens = 1000, .completion_tokens = 1};
  EXPECT_EQ(Bounded(AttemptEnd::kUnknown, more, 7), 1002);
  // So much text is of 1000 tokens at least, whatever was said of max_tokens.
  EXPECT_EQ(Bounded(AttemptEnd::kUnknown, std::nullopt, 8000), 2000);
  EXPECT_EQ(Bounded(AttemptEnd::kFinished, std::nullopt, 8000), 2000);
}

TEST(ProviderChargeTest, WithoutABudgetWhatCameIsCounted) {
  EXPECT_EQ(ChargeOfUnbounded(kPrice, AttemptEnd::kFinished, kUsage, 80), kCost);
  EXPECT_EQ(ChargeOfUnbounded(kPrice, AttemptEnd::kUnknown, std::nullopt, 80), 2 * 20);
  EXPECT_EQ(ChargeOfUnbounded(kPrice, AttemptEnd::kFree, std::nullopt, 0), 0);
}

TEST(ProviderChargeTest, SoFarItHasCostAtLeast) {
  EXPECT_EQ(CostSoFar(kPrice, std::nullopt, 80), 2 * 10);
  EXPECT_EQ(CostSoFar(kPrice, kUsage, 80), kCost);
  ModelPrice cheap = kPrice;
  cheap.thinking_nano = kToken;
  EXPECT_EQ(CostSoFar(cheap, std::nullopt, 80), 10);  // it may all be thinking
}

}  // namespace
}  // namespace spillway
