// worker/model/decoder.h on tiny random models: against a reference in plain loops, and the
// one-arithmetic rule: every way of computing a row gives the same bits.

#include "worker/model/decoder.h"

#include <cstring>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/model/tiny_model.h"

namespace spillway {
namespace {

constexpr int32_t kBlockCount = 100;

std::vector<TokenId> RandomTokens(int32_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>(random() % 101));
  return tokens;
}

std::vector<int32_t> BlocksFrom(int32_t first, int32_t count, int32_t step = 1) {
  std::vector<int32_t> blocks;
  for (int32_t i = 0; i < count; ++i) blocks.push_back(first + i * step);
  return blocks;
}

// A decoder with all that it borrows.
class Bench {
 public:
  explicit Bench(const TinyModel& model, int32_t threads = 1,
                 CpuIsa isa = SupportedCpuIsas().back())
      : Bench(model, model.spec(), threads, isa) {}
  // `spec` outlives it.
  Bench(const TinyModel& model, const ModelSpec& spec, int32_t threads = 1,
        CpuIsa isa = SupportedCpuIsas().back())
      : team_(threads),
        weights_(*ModelWeights::Load(spec, model.file(), team_)),
        cache_(*KvCache::Allocate(spec, kBlockCount)),
        decoder_(*Decoder::Make(spec, weights_,
                                {.tokens_max = 600, .slices_max = 8, .positions_max = 640}, cache_,
                                team_, CpuKernelsFor(isa))) {}

  // The logits of each slice that wants them.
  std::vector<std::vector<float>> Forward(const std::vector<DecoderSlice>& slices) {
    decoder_->Forward(slices);
    std::vector<std::vector<float>> logits;
    for (const DecoderSlice& slice : slices) {
      if (!slice.logits) continue;
      const std::span<float> row = decoder_->logits(static_cast<int32_t>(logits.size()));
      logits.emplace_back(row.begin(), row.end());
    }
    return logits;
  }

  // The logits of `rows` of all slices' rows, asked for afterwards.
  std::vector<std::vector<float>> ForwardAndLogitsOf(const std::vector<DecoderSlice>& slices,
                                                     const std::vector<int32_t>& rows) {
    decoder_->Forward(slices);
    decoder_->ComputeLogits(rows);
    std::vector<std::vector<float>> logits;
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::span<float> row = decoder_->logits(static_cast<int32_t>(i));
      logits.emplace_back(row.begin(), row.end());
    }
    return logits;
  }

  // Logits after the last of `tokens`, run in chunks of `chunk`.
  std::vector<float> RunInChunks(const std::vector<TokenId>& tokens, int32_t chunk,
                                 const std::vector<int32_t>& blocks) {
    const auto count = static_cast<int32_t>(tokens.size());
    std::vector<float> logits;
    for (int32_t begin = 0; begin < count; begin += chunk) {
      const int32_t size = std::min(chunk, count - begin);
      const auto part =
          std::span(tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(size));
      const auto result = Forward({{begin, part, blocks, begin + size == count}});
      if (!result.empty()) logits = result[0];
    }
    return logits;
  }

 private:
  ThreadTeam team_;
  ModelWeights weights_;
  KvCache cache_;
  std::unique_ptr<Decoder> decoder_;
};

void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(0, std::memcmp(a.data(), b.data(), a.size() * sizeof(float)));
}

constexpr WeightFormat kF32 = WeightFormat::kF32;

TEST(DecoderTest, FloatModelIsCloseToTheReference) {
  const TinyModel model({kF32, kF32, kF32, kF32, kF32});
  const std::vector<TokenId> tokens = RandomTokens(37, /*seed=*/2);

  const std::vector<float> logits = Bench(model).RunInChunks(tokens, 37, BlocksFrom(0, 3));

  const std::vector<double> expected = model.ReferenceLogits(tokens);
  for (size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 2e-3);
}

TEST(DecoderTest, QuantisedModelsAreNearTheReference) {
  constexpr WeightFormat kQ8 = WeightFormat::kQ8_0;
  using enum WeightFormat;
  const TinyModelFormats cases[] = {
      {},
      {kQ8, kQ8, kQ8, kQ8, kQ8},
      {kBf16, kQ4_0, kF16, kQ8, kF32},
      {kF16, kF16, kQ8, kF16, kQ8},
      // As llama.cpp mixes them: Q4_K_M, Q3_K_M with a tied head, Q2_K.
      {kQ6_K, kQ4_K, kQ6_K, kQ4_K, kQ6_K},
      {kQ6_K, kQ3_K, kQ5_K, kQ3_K, kQ4_K},
      {kQ2_K, kQ2_K, kQ3_K, kQ2_K, kQ3_K},
      {kQ5_0, kQ5_1, kQ5_0, kQ5_0, kQ5_1},
      {kQ6_K, kIQ4_XS, kQ5_K, kIQ4_XS, kIQ4_NL},
      // Quantised beside float in one layer.
      {kF16, kQ5_K, kF16, kQ4_K, kF16, kF16}};
  const std::vector<TokenId> tokens = RandomTokens(20, /*seed=*/3);
  for (const TinyModelFormats& formats : cases) {
    const TinyModel model(formats);
    const std::vector<float> logits = Bench(model).RunInChunks(tokens, 20, BlocksFrom(0, 2));
    const std::vector<double> expected = model.ReferenceLogits(tokens);
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      error += (logits[i] - expected[i]) * (logits[i] - expected[i]);
      size += expected[i] * expected[i];
    }
    EXPECT_LT(std::sqrt(error / size), 0.1);  // 8-bit activations; a wrong stage gives about 1
  }
}

TEST(DecoderTest, EveryChunkingHasTheBitsOfOneTokenAtATime) {
  const TinyModel model;
  const std::vector<TokenId> tokens = RandomTokens(300, /*seed=*/4);  // crosses an attention split
  Bench bench(model);
  const std::vector<float> decoded = bench.RunInChunks(tokens, 1, BlocksFrom(0, 19));
  for (const int32_t chunk : {2, 7, 16, 33, 256, 299, 300}) {
    ExpectSameBits(bench.RunInChunks(tokens, chunk, BlocksFrom(20, 19)), decoded);
  }
}

TEST(DecoderTest, ThreadsAndInstructionSetsDontChangeBits) {
  using enum WeightFormat;
  for (const TinyModelFormats& formats :
       {TinyModelFormats{}, TinyModelFormats{kF32, kQ8_0, kF32, kF32, kF32},
        TinyModelFormats{kQ6_K, kQ4_K, kQ6_K, kQ5_K, kQ3_K, kQ2_K}}) {
    const TinyModel model(formats);
    const std::vector<TokenId> tokens = RandomTokens(280, /*seed=*/5);
    const std::vector<float> expected =
        Bench(model, 1, CpuIsa::kScalar).RunInChunks(tokens, 90, BlocksFrom(0, 18));
    for (const CpuIsa isa : SupportedCpuIsas()) {
      for (const int32_t threads : {1, 2, 3}) {
        // Every number of threads with one instruction set is enough: scalar takes seconds.
        if (threads != 2 && isa != SupportedCpuIsas().back()) continue;
        Bench bench(model, threads, isa);
        SCOPED_TRACE(std::string(CpuIsaName(isa)));
        ExpectSameBits(bench.RunInChunks(tokens, 90, BlocksFrom(0, 18)), expected);
        if (threads == 2) {  // a decode row, its splits shared out
          ExpectSameBits(bench.RunInChunks(tokens, 279, BlocksFrom(0, 18)), expected);
        }
      }
    }
  }
}

TEST(DecoderTest, WhoSharesTheBatchDoesntChangeBits) {
  const TinyModel model;
  std::vector<std::vector<TokenId>> tokens;
  std::vector<std::vector<int32_t>> blocks;
  std::vector<std::vector<float>> alone;
  for (int32_t i = 0; i < 5; ++i) {
    tokens.push_back(RandomTokens(3 + 70 * i, static_cast<uint32_t>(10 + i)));
    blocks.push_back(BlocksFrom(i, 19, /*step=*/5));
    alone.push_back(Bench(model).RunInChunks(tokens.back(), 400, blocks.back()));
  }
  Bench bench(model, 2);
  // Two sequences prefill while three have only their last token left.
  for (size_t i : {0, 2, 3}) {
    const std::vector<TokenId> start(tokens[i].begin(), tokens[i].end() - 1);
    bench.Forward({{0, start, blocks[i], false}});
  }
  std::vector<DecoderSlice> slices;
  for (size_t i = 0; i < 5; ++i) {
    const bool last_only = i != 1 && i != 4;
    const size_t begin = last_only ? tokens[i].size() - 1 : 0;
    slices.push_back(
        {static_cast<int32_t>(begin), std::span(tokens[i]).subspan(begin), blocks[i], true});
  }

  const std::vector<std::vector<float>> together = bench.Forward(slices);

  for (size_t i = 0; i < 5; ++i) ExpectSameBits(together[i], alone[i]);
}

TEST(DecoderTest, LogitsOfRowsAskedForLaterHaveTheSameBits) {
  const TinyModel model;
  const std::vector<TokenId> tokens = RandomTokens(20, /*seed=*/7);
  const std::vector<TokenId> other = RandomTokens(9, /*seed=*/8);
  const std::vector<int32_t> blocks = BlocksFrom(0, 2);
  const std::vector<int32_t> other_blocks = BlocksFrom(2, 1);
  Bench bench(model, 2);

  const auto later = bench.ForwardAndLogitsOf(
      {{0, other, other_blocks, true}, {0, tokens, blocks, false}}, {9 + 4, 3, 9 + 19});

  const auto alone = [&](const std::vector<TokenId>& of, size_t count) {
    return Bench(model).RunInChunks({of.begin(), of.begin() + static_cast<ptrdiff_t>(count)}, 20,
                                    blocks);
  };
  ASSERT_EQ(later.size(), 3u);
  ExpectSameBits(later[0], alone(tokens, 5));
  ExpectSameBits(later[1], alone(other, 4));
  ExpectSameBits(later[2], alone(tokens, 20));
}

TEST(DecoderTest, WhatLiesBeforeTheWindowsIsNotSeen) {
  constexpr int32_t kWindow = 20;
  const TinyModel model;
  ModelSpec spec = model.spec();
  spec.sliding_window = kWindow;
  spec.local_layers = {true, true};
  const std::vector<TokenId> tokens = RandomTokens(523, /*seed=*/8);  // sees splits 1 and 2
  // Two layers of windows reach back 2 * 19 positions.
  std::vector<TokenId> others = tokens;
  for (size_t i = 0; i < tokens.size() - 2 * kWindow + 1; ++i) others[i] = (tokens[i] + 1) % 101;
  std::vector<TokenId> nearer = tokens;
  nearer[tokens.size() - 2 * kWindow + 1] = (nearer[tokens.size() - 2 * kWindow + 1] + 1) % 101;
  Bench bench(model, spec);

  const std::vector<float> logits = bench.RunInChunks(tokens, 523, BlocksFrom(0, 33));

  ExpectSameBits(bench.RunInChunks(tokens, 1, BlocksFrom(40, 33)), logits);
  ExpectSameBits(bench.RunInChunks(tokens, 522, BlocksFrom(40, 33)), logits);
  ExpectSameBits(bench.RunInChunks(others, 100, BlocksFrom(40, 33)), logits);
  EXPECT_NE(bench.RunInChunks(nearer, 100, BlocksFrom(40, 33)), logits);
}

TEST(DecoderTest, PartOfAHeadMayTurn) {
  const TinyModel model({kF32, kF32, kF32, kF32, kF32}, /*seed=*/1, /*rope_size=*/12);
  const std::vector<TokenId> tokens = RandomTokens(37, /*seed=*/2);

  const std::vector<float> logits = Bench(model).RunInChunks(tokens, 37, BlocksFrom(0, 3));

  const std::vector<double> expected = model.ReferenceLogits(tokens);
  for (size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 2e-3);
}

TEST(DecoderTest, SequencesShareTheBlocksOfACommonPrefix) {
  const TinyModel model;
  Bench bench(model);
  std::vector<TokenId> first = RandomTokens(40, /*seed=*/6);
  std::vector<TokenId> second = first;
  second[35] = (second[35] + 1) % 101;
  const std::vector<float> expected = Bench(model).RunInChunks(second, 40, BlocksFrom(0, 3));
  bench.RunInChunks(first, 40, {4, 9, 6});

  const auto logits =
      bench.Forward({{32, std::span(second).subspan(32), std::vector<int32_t>{4, 9, 7}, true}});

  ExpectSameBits(logits[0], expected);
}

TEST(ModelWeightsTest, NamesWhatIsWrong) {
  const TinyModel model;
  ThreadTeam team(1);
  ModelSpec spec = model.spec();
  spec.layer_count = 3;
  EXPECT_EQ(ModelWeights::Load(spec, model.file(), team).status().message(),
            "the file has no tensor blk.2.attn_norm.weight");
  spec = model.spec();
  spec.intermediate_size = 128;
  EXPECT_EQ(ModelWeights::Load(spec, model.file(), team).status().message(),
            "tensor blk.0.ffn_gate.weight has shape [64, 96], its model's is [64, 128]");
  spec = model.spec();
  spec.qkv_bias = true;
  EXPECT_EQ(ModelWeights::Load(spec, model.file(), team).status().message(),
            "the file has no tensor blk.0.attn_q.bias");
  spec = model.spec();
  spec.qk_norm = true;
  EXPECT_EQ(ModelWeights::Load(spec, model.file(), team).status().message(),
            "the file has no tensor blk.0.attn_q_norm.weight");
  spec = model.spec();
  spec.post_norms = true;
  EXPECT_EQ(ModelWeights::Load(spec, model.file(), team).status().message(),
            "the file has no tensor blk.0.post_attention_norm.weight");
}

}  // namespace
}  // namespace spillway
