#include "router/token_account.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenAccountTest : public ::testing::Test {
 protected:
  std::shared_ptr<TokenAccount> Account(const TokenLimits& limits) {
    auto account = std::make_shared<TokenAccount>("tok_1", "laptop", clock_);
    account->SetLimits(limits);
    return account;
  }
  static std::string Text(const std::optional<GenerateError>& error) {
    return error ? error->reason + ": " + std::string(error->status.message()) : "";
  }

  ManualClock clock_;
};

TEST_F(TokenAccountTest, AliasesMeanTheirModels) {
  const auto account = Account({.models = {"Qwen3-8B"}, .aliases = {{"gpt-4", "big"}}});
  std::string model = "gpt-4";
  EXPECT_EQ(account->ResolveModel(model), std::nullopt);
  EXPECT_EQ(model, "big");
  model = "qwen/qwen3_8b";  // as services are found
  EXPECT_EQ(account->ResolveModel(model), std::nullopt);
  EXPECT_EQ(model, "qwen/qwen3_8b");
  model = "";
  EXPECT_EQ(account->ResolveModel(model), std::nullopt);
  EXPECT_EQ(model, "Qwen3-8B");
  model = "big";
  const auto refusal = account->ResolveModel(model);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Text(refusal),
            "model_not_allowed: token \"laptop\" may not use this model; it may use: Qwen3-8B, "
            "gpt-4");
}

TEST_F(TokenAccountTest, RefusalsNameTheLimitItsValueAndWhenItIsFree) {
  const auto account = Account({.requests_per_minute = 1});
  QuotaReservation first;
  QuotaReservation second;
  EXPECT_EQ(account->Reserve({}, first), std::nullopt);
  clock_.Advance(absl::Seconds(1));
  const auto refusal = account->Reserve({}, second);
  EXPECT_EQ(Text(refusal),
            "rate_limited: token \"laptop\" may have 1 requests per minute: used 1, this needs 1; "
            "try again in 1m0s");
  EXPECT_EQ(refusal->retry_after, absl::Seconds(60));
  account->SetLimits({.requests_per_day = 1});
  EXPECT_THAT(Text(account->Reserve({}, second)), HasSubstr("quota_exceeded"));
  account->SetLimits({.concurrency = 1});
  EXPECT_EQ(Text(account->Reserve({}, second)),
            "rate_limited: token \"laptop\" may have 1 requests at once, and has 1; try again when "
            "one of them has ended");
  account->SetLimits({.tokens_per_minute = 5});
  EXPECT_THAT(Text(account->Reserve({.prompt_tokens = 6}, second)),
              HasSubstr("request_over_limit"));
}

TEST_F(TokenAccountTest, AReservationThatIsDroppedIsGivenBack) {
  const auto account = Account({.tokens_per_minute = 100, .concurrency = 1});
  {
    QuotaReservation dropped;
    EXPECT_EQ(account->Reserve({.prompt_tokens = 60}, dropped), std::nullopt);
    QuotaReservation moved = std::move(dropped);
    EXPECT_EQ(account->View().tokens->remaining, 40);
  }
  EXPECT_EQ(account->View().tokens->remaining, 100);
  QuotaReservation kept;
  EXPECT_EQ(account->Reserve({.prompt_tokens = 60}, kept), std::nullopt);
  kept.Settle(30);
  kept.Settle(99);
  EXPECT_EQ(account->View().tokens->remaining, 70);
}

TEST_F(TokenAccountTest, MaxTokensCountsUpToALimitForEachChoice) {
  GenerateRequest request;
  EXPECT_EQ(DemandOf(request, 7).prompt_tokens, 7);
  EXPECT_EQ(DemandOf(request, 7).completion_tokens, 512);
  request.new_tokens_max = 10;
  request.choices = 3;
  EXPECT_EQ(DemandOf(request, 7).completion_tokens, 30);
  request.new_tokens_max = 1'000'000;
  EXPECT_EQ(DemandOf(request, 7).completion_tokens, 3 * 4096);
  request.prompt_only = true;
  EXPECT_EQ(DemandOf(request, 7).completion_tokens, 0);
}

TEST_F(TokenAccountTest, ShowsWhatItMayUse) {
  const auto account = Account({.models = {"a"}, .aliases = {{"gpt-4", "b"}, {"x", "gone"}}});
  std::vector<std::string> names;
  for (const ModelInfo& model : account->Visible({{.name = "a"}, {.name = "b"}, {.name = "c"}})) {
    names.push_back(model.name);
  }
  EXPECT_THAT(names, ElementsAre("a", "gpt-4"));
}

TEST_F(TokenAccountTest, ThreadsTogetherGetNoMoreThanTheLimit) {
  const auto account = Account({.requests_per_minute = 1000});
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 500; ++j) {
        QuotaReservation reservation;
        if (!account->Reserve({}, reservation)) ++taken;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 1000);
}

TEST(FormatResetTest, LooksLikeOpenAis) {
  EXPECT_EQ(FormatReset(absl::ZeroDuration()), "0s");
  EXPECT_EQ(FormatReset(absl::Milliseconds(20)), "20ms");
  EXPECT_EQ(FormatReset(absl::Minutes(6)), "6m0s");
  EXPECT_EQ(FormatReset(absl::Hours(2)), "2h0m0s");
  EXPECT_EQ(FormatReset(absl::Milliseconds(1200) - absl::Nanoseconds(1)), "1.2s");
}

}  // namespace
}  // namespace spillway
