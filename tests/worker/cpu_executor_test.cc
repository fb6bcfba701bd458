// worker/cpu_executor.h on a tiny random model: the seam that the engine loop relies on.

#include "worker/cpu_executor.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/executor_sequence.h"
#include "tests/worker/model/tiny_model.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Executor> MakeExecutor(const TinyModel& model, int32_t threads = 2) {
  auto executor = MakeCpuExecutor(model.spec(), model.file(),
                                  {.threads = threads,
                                   .running_max = 4,
                                   .step_tokens_max = 64,
                                   .block_count = 64,
                                   .sequence_tokens_max = 128});
  return *std::move(executor);
}

TEST(CpuExecutorTest, PendingTokensGiveWhatGivenTokensGive) {
  const TinyModel model;
  const auto executor = MakeExecutor(model);
  for (const SamplingParams& params : {Greedy(), Lively()}) {
    const Sequence sequence(/*slot_index=*/1, {5, 17, 3, 99, 5}, params);
    const std::vector<TokenId> given = Generate(*executor, sequence, 20);
    EXPECT_EQ(GeneratePipelined(*executor, sequence, 20), given);
  }
}

TEST(CpuExecutorTest, GreedyIsTheReferencesChoice) {
  constexpr WeightFormat kF32 = WeightFormat::kF32;
  const TinyModel model({kF32, kF32, kF32, kF32, kF32});
  const auto executor = MakeExecutor(model);
  std::vector<TokenId> tokens = {8, 30, 61};

  for (const TokenId token : Generate(*executor, Sequence(0, tokens, Greedy()), 10)) {
    const std::vector<double> logits = model.ReferenceLogits(tokens);
    EXPECT_EQ(token, std::max_element(logits.begin(), logits.end()) - logits.begin());
    tokens.push_back(token);
  }
}

TEST(CpuExecutorTest, BatchThreadsChunksAndInstructionSetsDontChangeTheOutput) {
  const TinyModel model;
  const Sequence sequence(/*slot_index=*/2, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, Lively());
  const std::vector<TokenId> expected = Generate(*MakeExecutor(model, 1), sequence, 12);
  for (const int32_t threads : {2, 3}) {
    EXPECT_EQ(Generate(*MakeExecutor(model, threads), sequence, 12), expected);
  }
  const auto scalar =
      MakeCpuExecutor(model.spec(), model.file(),
                      {.block_count = 64, .sequence_tokens_max = 64, .isa = CpuIsa::kScalar});
  EXPECT_EQ(Generate(**scalar, sequence, 12), expected);
  EXPECT_EQ((*scalar)->numerics_id(), MakeExecutor(model)->numerics_id());

  // In chunks, next to another sequence.
  const auto executor = MakeExecutor(model);
  const Sequence other(/*slot_index=*/0, {50, 51, 52, 53, 54, 55}, Greedy());
  const std::vector<StepRow> first = {sequence.Row(0, 7, /*samples=*/false), other.Row(0, 6)};
  EXPECT_EQ(executor->Collect(*executor->Launch(first))->size(), 1u);
  const std::vector<StepRow> second = {other.Row(5, 1), sequence.Row(7, 3)};
  const auto sampled = executor->Collect(*executor->Launch(second));
  ASSERT_EQ(sampled->size(), 2u);
  EXPECT_EQ((*sampled)[1].token, expected[0]);
}

TEST(CpuExecutorTest, BannedTokensAreNotSampled) {
  const TinyModel model;
  const auto executor = MakeExecutor(model);
  const Sequence sequence(0, {4, 4, 4}, Greedy());
  StepRow row = sequence.Row(0, 3);
  const std::vector<TokenId> banned = {RunOne(*executor, row)};
  row.banned = banned;

  EXPECT_NE(RunOne(*executor, row), banned[0]);
}

TEST(CpuExecutorTest, TellsLogprobsOfTheModelsOwnLogitsWhereAsked) {
  constexpr WeightFormat kF32 = WeightFormat::kF32;
  const TinyModel model({kF32, kF32, kF32, kF32, kF32});
  const auto executor = MakeExecutor(model);
  const std::vector<TokenId> tokens = {4, 7, 9};
  SamplingParams params = Lively();
  params.top_logprobs = 5;
  params.logit_bias = {{50, 100.0f}};
  const Sequence asks(0, tokens, params);
  const Sequence asks_less(2, {8, 30, 61}, [] {
    SamplingParams greedy = Greedy();
    greedy.top_logprobs = 0;
    return greedy;
  }());
  const Sequence doesnt_ask(1, tokens, Greedy());
  const std::vector<StepRow> rows = {asks.Row(0, 3), doesnt_ask.Row(0, 3), asks_less.Row(0, 3)};

  const auto sampled = *executor->Collect(*executor->Launch(rows));

  std::vector<double> logits = model.ReferenceLogits(tokens);
  double total = 0;
  for (const double logit : logits) total += std::exp(logit);
  EXPECT_EQ(sampled[0].token, 50);
  EXPECT_NEAR(sampled[0].score.logprob, logits[50] - std::log(total), 5e-3);
  ASSERT_EQ(sampled[0].score.top.size(), 5u);
  for (const TokenLogprob& top : sampled[0].score.top) {
    EXPECT_NEAR(top.logprob, logits[static_cast<size_t>(top.token)] - std::log(total), 5e-3);
  }
  std::ranges::sort(logits, std::greater<double>());
  EXPECT_NEAR(sampled[0].score.top[4].logprob, logits[4] - std::log(total), 5e-3);
  EXPECT_EQ(sampled[1].score.logprob, 0);
  EXPECT_TRUE(sampled[1].score.top.empty());
  EXPECT_LT(sampled[2].score.logprob, 0);
  EXPECT_EQ(sampled[2].score.rank, 1);
  EXPECT_TRUE(sampled[2].score.top.empty());
}

TEST(CpuExecutorTest, ScoresThePromptsTokensOfAnyChunks) {
  constexpr WeightFormat kF32 = WeightFormat::kF32;
  const TinyModel model({kF32, kF32, kF32, kF32, kF32});
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < 30; ++i) tokens.push_back(i * 37 % 101);
  const Sequence other(0, {8, 30, 61}, Greedy());
  Sequence sequence(1, tokens, Greedy());
  std::vector<double> expected(tokens.size());
  for (size_t i = 1; i < tokens.size(); ++i) {
    const std::vector<double> logits =
        model.ReferenceLogits({tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(i)});
    double total = 0;
    for (const double logit : logits) total += std::exp(logit);
    expected[i] = logits[static_cast<size_t>(tokens[i])] - std::log(total);
  }

  std::vector<float> first;
  for (const int32_t chunk : {30, 7, 1}) {
    const auto executor = MakeExecutor(model);
    std::vector<float> scored = {0};
    for (int32_t begin = 0; begin < 30; begin += chunk) {
      const int32_t count = std::min(chunk, 30 - begin);
      StepRow row = sequence.Row(begin, count, /*samples=*/begin + count == 30);
      row.score_begin = begin + 1;
      row.score_end = std::min(begin + count + 1, 30);
      row.score_top = 3;
      const std::vector<StepRow> rows = {other.Row(0, 3), row};
      const auto sampled = *executor->Collect(*executor->Launch(rows));
      EXPECT_EQ(sampled.size(), row.slice.samples ? 2u : 1u);
      for (const TokenScore& score : executor->prompt_scores()) {
        scored.push_back(score.logprob);
        ASSERT_EQ(score.top.size(), 3u);
        EXPECT_GE(score.top[0].logprob, score.logprob);
      }
    }
    ASSERT_EQ(scored.size(), 30u);
    for (size_t i = 1; i < 30; ++i) EXPECT_NEAR(scored[i], expected[i], 5e-3) << i;
    if (first.empty()) first = scored;
    EXPECT_EQ(scored, first) << chunk;  // to the last bit
  }
}

TEST(CpuExecutorTest, LogitsThatAreNotNumbersFailTheirRowOnly) {
  // An embedding scale of not-a-number: the first row of the file's first tensor, token 0.
  const TinyModel model;
  auto* const scale =
      const_cast<std::byte*>(model.file().FindTensor("token_embd.weight")->data.data());
  scale[0] = std::byte{0x00};
  scale[1] = std::byte{0x7e};
  const auto executor = MakeExecutor(model);
  const Sequence bad(0, {7, 0}, Greedy());
  const Sequence good(1, {7, 8}, Greedy());
  const std::vector<StepRow> rows = {bad.Row(0, 2), good.Row(0, 2)};

  const auto sampled = executor->Collect(*executor->Launch(rows));

  EXPECT_EQ((*sampled)[0].token, SampledToken::kNone);
  EXPECT_NE((*sampled)[1].token, SampledToken::kNone);
  // What the pipeline had launched after it runs to its end.
  const StepRow after = bad.PendingRow(2);
  EXPECT_TRUE(executor->Collect(*executor->Launch({&after, 1})).ok());
}

TEST(CpuExecutorTest, StepsWithoutSamplesGiveNothing) {
  const TinyModel model;
  const auto executor = MakeExecutor(model);
  const Sequence sequence(0, {1, 2, 3}, Greedy());
  const StepRow row = sequence.Row(0, 3, /*samples=*/false);

  EXPECT_TRUE(executor->Collect(*executor->Launch({&row, 1}))->empty());
}

TEST(CpuExecutorDeathTest, RowsThatBreakTheContractStopTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the executor has threads
  const TinyModel model;
  const auto executor = MakeExecutor(model);
  const Sequence sequence(0, {1, 2, 3}, Greedy());
  StepRow row = sequence.Row(0, 3);
  row.slice.slot = SlotId{4};
  EXPECT_DEATH(executor->Launch({&row, 1}).IgnoreError(), "slot");
  row = sequence.Row(0, 3);
  row.slice.last_token_pending = true;
  EXPECT_DEATH(executor->Launch({&row, 1}).IgnoreError(), "pending");
  row = sequence.Row(0, 3);
  row.slice.blocks = {};
  EXPECT_DEATH(executor->Launch({&row, 1}).IgnoreError(), "blocks");
}

TEST(CpuExecutorTest, RefusesOptionsThatCannotWork) {
  const TinyModel model;
  const auto status = [&](const CpuExecutorOptions& options) {
    return MakeCpuExecutor(model.spec(), model.file(), options).status();
  };

  EXPECT_EQ(status({.kv_bytes = 100'000}).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status({.block_tokens = 32}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status({.sequence_tokens_max = 4096}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status({.running_max = 64, .step_tokens_max = 32}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CpuExecutorTest, DescribesItself) {
  const TinyModel model;
  const auto executor = MakeExecutor(model, 1);
  EXPECT_THAT(executor->device_name(), HasSubstr("cpu, 1 thread, "));
  EXPECT_EQ(executor->shape().vocabulary_size, 101);
  EXPECT_EQ(executor->shape().block_count, 64);
  EXPECT_EQ(executor->shape().sequence_tokens_max, 128);
}

}  // namespace
}  // namespace spillway
