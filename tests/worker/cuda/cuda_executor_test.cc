// The executor on a device, on a tiny random model: the seam that the engine loop relies on, and
// the CPU executor as oracle. Products of many rows are our own GEMV's: no cuBLASLt is needed.

#include "worker/cuda/cuda_executor.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "gmock/gmock.h"
#include "tests/support/cuda_test.h"
#include "tests/support/executor_sequence.h"
#include "tests/support/gemv_gemm.h"
#include "tests/worker/model/tiny_model.h"
#include "worker/cpu_executor.h"
#include "worker/cuda/make_cuda_executor.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

constexpr int32_t kSlotBlocks = 24;  // a sequence may be 384 tokens long, which is two splits
constexpr int32_t kPositionsMax = kSlotBlocks * 16;
constexpr WeightFormat kF32 = WeightFormat::kF32;
constexpr WeightFormat kF16 = WeightFormat::kF16;

// Queries and keys, values, gate and up: of three formats, so that products have parts.
const TinyModelFormats kMixed = {.embedding = WeightFormat::kQ8_0,
                                 .attention = WeightFormat::kQ4_1,
                                 .value = WeightFormat::kQ8_0,
                                 .ffn = WeightFormat::kQ4_0,
                                 .down = WeightFormat::kQ4_1,
                                 .up = WeightFormat::kQ8_0};

class CudaExecutorTest : public CudaTest {
 protected:
  static absl::StatusOr<std::unique_ptr<Executor>> Make(const TinyModel& model,
                                                        CudaExecutorOptions options) {
    return MakeCudaExecutorWith(std::make_unique<GemvGemm>(), "gemv", model.spec(), model.file(),
                                options);
  }
  static std::unique_ptr<Executor> MakeExecutor(const TinyModel& model, bool graphs = true) {
    auto executor = Make(model, {.running_max = 4,
                                 .step_tokens_max = 40,
                                 .sequence_tokens_max = kPositionsMax,
                                 .graphs = graphs});
    EXPECT_TRUE(executor.ok()) << executor.status();
    return *std::move(executor);
  }
  static Sequence SequenceOf(int32_t slot, std::vector<TokenId> prompt, SamplingParams params) {
    return Sequence(slot, std::move(prompt), std::move(params), kSlotBlocks);
  }
};

std::vector<TokenId> Prompt(int32_t count) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(i * 37 % 101);
  return tokens;
}

double LogprobOf(const std::vector<double>& logits, TokenId token) {
  double total = 0;
  for (const double logit : logits) total += std::exp(logit);
  return logits[static_cast<size_t>(token)] - std::log(total);
}

TEST_F(CudaExecutorTest, PendingTokensGiveWhatGivenTokensGive) {
  const TinyModel model(kMixed);
  const auto executor = MakeExecutor(model);
  for (const SamplingParams& params : {Greedy(), Lively()}) {
    const Sequence sequence = SequenceOf(/*slot=*/1, {5, 17, 3, 99, 5}, params);
    const std::vector<TokenId> given = Generate(*executor, sequence, 9);
    EXPECT_EQ(GeneratePipelined(*executor, sequence, 9), given);
  }
}

// Of 16-bit weights: products of quantised ones quantise the activations of few rows only.
TEST_F(CudaExecutorTest, GraphsAndCompanyDontChangeTheOutput) {
  const TinyModel model({kF32, kF32, kF32, kF32, kF32});
  const auto executor = MakeExecutor(model);
  const auto plain = MakeExecutor(model, /*graphs=*/false);
  std::vector<Sequence> sequences = {SequenceOf(0, Prompt(3), Lively()),
                                     SequenceOf(1, Prompt(30), Greedy()),
                                     SequenceOf(3, Prompt(7), Lively())};
  std::vector<std::vector<TokenId>> alone;
  for (const Sequence& sequence : sequences) alone.push_back(Generate(*plain, sequence, 5));

  std::vector<StepRow> rows;
  for (const Sequence& s : sequences)
    rows.push_back(s.Row(0, static_cast<int32_t>(s.tokens.size())));
  for (size_t step = 0; step < 5; ++step) {
    const auto ticket = executor->Launch(rows);
    const auto sampled = executor->Collect(*ticket);
    ASSERT_EQ(sampled->size(), 3u);
    rows.clear();
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ((*sampled)[i].token, alone[i][step]) << "sequence " << i << ", step " << step;
      sequences[i].tokens.push_back((*sampled)[i].token);
      const auto begin = static_cast<int32_t>(sequences[i].tokens.size()) - 1;
      rows.push_back(sequences[i].Row(begin, 1));
    }
  }
}

// The prompt's scores say what the logits are at every position: in chunks, decoded one by one, and
// beyond the border of a split.
TEST_F(CudaExecutorTest, ScoresThePromptAsTheCpuDoes) {
  const TinyModel model({kF16, kF16, kF16, kF16, kF16});
  constexpr int32_t kCount = 270;
  const Sequence sequence = SequenceOf(2, Prompt(kCount), Greedy());
  const auto score = [&](Executor& executor) {
    std::vector<TokenScore> scores;
    std::vector<TokenLogprob> best;
    for (int32_t begin = 0; begin < kCount;) {
      const int32_t count = begin < 266 ? std::min(38, 266 - begin) : 1;
      StepRow row = sequence.Row(begin, count, /*samples=*/begin + count == kCount);
      row.score_begin = begin + 1;
      row.score_end = std::min(begin + count + 1, kCount);
      row.score_top = 2;
      EXPECT_TRUE(executor.Collect(*executor.Launch({&row, 1})).ok());
      for (const TokenScore& s : executor.prompt_scores()) {
        scores.push_back(s);
        best.push_back(s.top[0]);
        scores.back().top = {};
      }
      begin += count;
    }
    EXPECT_EQ(scores.size(), static_cast<size_t>(kCount - 1));
    return std::pair(scores, best);
  };
  const auto cpu = MakeCpuExecutor(model.spec(), model.file(),
                                   {.threads = 1,
                                    .running_max = 4,
                                    .step_tokens_max = 40,
                                    .block_count = 4 * kSlotBlocks,
                                    .sequence_tokens_max = kPositionsMax});
  ASSERT_TRUE(cpu.ok()) << cpu.status();

  const auto [expected, expected_best] = score(**cpu);
  const auto [scores, best] = score(*MakeExecutor(model));

  // Activations are f16.
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(scores[i].logprob, expected[i].logprob, 0.04) << i;
    EXPECT_NEAR(best[i].logprob, expected_best[i].logprob, 0.04) << i;
  }
}

TEST_F(CudaExecutorTest, TellsLogprobsOfTheModelsOwnLogitsWhereAsked) {
  const TinyModel model({kF32, kF32, kF32, kF32, kF32});
  const auto executor = MakeExecutor(model);
  const std::vector<TokenId> tokens = {4, 7, 9};
  SamplingParams params = Lively();
  params.top_logprobs = 5;
  params.logit_bias = {{50, 100.0f}};
  SamplingParams no_top = Greedy();
  no_top.top_logprobs = 0;
  const Sequence asks = SequenceOf(0, tokens, params);
  const Sequence doesnt_ask = SequenceOf(1, tokens, Greedy());
  const Sequence asks_less = SequenceOf(2, {8, 30, 61}, no_top);
  const std::vector<StepRow> rows = {asks.Row(0, 3), doesnt_ask.Row(0, 3), asks_less.Row(0, 3)};

  const auto sampled = *executor->Collect(*executor->Launch(rows));

  const std::vector<double> logits = model.ReferenceLogits(tokens);
  EXPECT_EQ(sampled[0].token, 50);
  EXPECT_NEAR(sampled[0].score.logprob, LogprobOf(logits, 50), 0.1);
  ASSERT_EQ(sampled[0].score.top.size(), 5u);
  for (const TokenLogprob& top : sampled[0].score.top) {
    EXPECT_NEAR(top.logprob, LogprobOf(logits, top.token), 0.1);
  }
  EXPECT_EQ(sampled[1].score.logprob, 0);
  EXPECT_LT(sampled[2].score.logprob, 0);
  EXPECT_EQ(sampled[2].score.rank, 1);
  EXPECT_TRUE(sampled[2].score.top.empty());
}

TEST_F(CudaExecutorTest, BannedTokensAreNotSampled) {
  const TinyModel model;
  const auto executor = MakeExecutor(model);
  const Sequence sequence = SequenceOf(0, {4, 4, 4}, Greedy());
  StepRow row = sequence.Row(0, 3);
  const std::vector<TokenId> banned = {RunOne(*executor, row)};
  row.banned = banned;

  EXPECT_NE(RunOne(*executor, row), banned[0]);
}

// A slot's counts are another sequence's when it is used again, or its own from before a
// preemption.
TEST_F(CudaExecutorTest, PenaltiesCountTheSequenceThatHasTheSlot) {
  const TinyModel model;
  const auto executor = MakeExecutor(model);
  SamplingParams params = Greedy();
  params.repetition_penalty = 100;  // whatever has been is out
  const auto all_differ = [](std::vector<TokenId> tokens) {
    std::ranges::sort(tokens);
    return std::ranges::adjacent_find(tokens) == tokens.end();
  };
  Sequence first = SequenceOf(1, {1, 2}, params);
  const std::vector<TokenId> output = Generate(*executor, first, 6);
  EXPECT_TRUE(all_differ(output));

  const Sequence second = SequenceOf(1, {3, 4}, params);
  StepRow other = second.Row(0, 2);
  other.slice.sequence = SequenceId{77};
  const TokenId token = RunOne(*executor, other);
  EXPECT_EQ(token, RunOne(*MakeExecutor(model), second.Row(0, 2)));
}

TEST_F(CudaExecutorTest, LogitsThatAreNotNumbersFailTheirRowOnly) {
  // An embedding scale of not-a-number: the first row of the file's first tensor, token 0.
  const TinyModel model;
  auto* const scale =
      const_cast<std::byte*>(model.file().FindTensor("token_embd.weight")->data.data());
  scale[0] = std::byte{0x00};
  scale[1] = std::byte{0x7e};
  const auto executor = MakeExecutor(model);
  const Sequence bad = SequenceOf(0, {7, 0}, Greedy());
  const Sequence good = SequenceOf(1, {7, 8}, Greedy());
  const std::vector<StepRow> rows = {bad.Row(0, 2), good.Row(0, 2)};

  const auto sampled = executor->Collect(*executor->Launch(rows));

  EXPECT_EQ((*sampled)[0].token, SampledToken::kNone);
  EXPECT_NE((*sampled)[1].token, SampledToken::kNone);
  // What the pipeline had launched after it runs to its end.
  const StepRow after = bad.PendingRow(2);
  EXPECT_TRUE(executor->Collect(*executor->Launch({&after, 1})).ok());
}

TEST_F(CudaExecutorTest, StepsWithoutSamplesGiveNothing) {
  const TinyModel model;
  const auto executor = MakeExecutor(model);
  const Sequence sequence = SequenceOf(0, {1, 2, 3}, Greedy());
  const StepRow row = sequence.Row(0, 3, /*samples=*/false);

  EXPECT_TRUE(executor->Collect(*executor->Launch({&row, 1}))->empty());
}

TEST_F(CudaExecutorTest, RefusesWhatCannotWork) {
  const TinyModel model;

  EXPECT_EQ(Make(model, {.running_max = 64, .step_tokens_max = 32}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Make(model, {.sequence_tokens_max = 4096}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Make(model, {.device = 99}).status().code(), absl::StatusCode::kNotFound);
  const absl::Status full = Make(model, {.memory_bytes = 1 << 20}).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("are missing. What helps: "));
}

TEST_F(CudaExecutorTest, DescribesItself) {
  const TinyModel model;
  const auto executor = MakeExecutor(model);

  EXPECT_THAT(executor->device_name(), HasSubstr(device().name));
  EXPECT_THAT(executor->numerics_id(), HasSubstr("-gemv-bf16"));
  EXPECT_EQ(executor->shape().vocabulary_size, 101);
  EXPECT_EQ(executor->shape().sequence_tokens_max, kPositionsMax);
  EXPECT_EQ(executor->shape().block_count, 4 * kSlotBlocks);  // no more than could be used
}

}  // namespace
}  // namespace spillway
