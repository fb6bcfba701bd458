#include "worker/model/model_spec.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/gguf_builder.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// The hyper-parameters of a small model; a test changes one of them.
struct Model {
  std::string architecture = "llama";
  uint32_t layers = 2;
  uint32_t context = 128;
  uint32_t hidden = 64;
  uint32_t intermediate = 96;
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  float epsilon = 1e-5f;
  int64_t vocabulary = 10;
  TensorType type = TensorType::kF32;
  GgufBuilder extra;    // keys and tensors after these
  std::string without;  // this key is left out

  absl::StatusOr<ModelSpec> Spec() const {
    GgufBuilder builder = extra;
    const auto put = [&](const std::string& key, uint32_t value) {
      if (key != without) builder.Uint32("llama." + key, value);
    };
    if (without != "general.architecture") builder.String("general.architecture", architecture);
    put("block_count", layers);
    put("context_length", context);
    put("embedding_length", hidden);
    put("feed_forward_length", intermediate);
    put("attention.head_count", heads);
    put("attention.head_count_kv", kv_heads);
    if (without != "attention.layer_norm_rms_epsilon") {
      builder.Float32("llama.attention.layer_norm_rms_epsilon", epsilon);
    }
    if (without != "token_embd.weight") {
      builder.Tensor("token_embd.weight", type, {hidden, vocabulary});
    }
    const std::vector<std::byte> bytes = builder.Build();
    const auto file = GgufFile::Parse(bytes);
    if (!file.ok()) return file.status();
    return ModelSpecFromGguf(**file);
  }
};

TEST(ModelSpecTest, ReadsALlama) {
  Model model;
  model.extra.Float32("llama.rope.freq_base", 100'000).Uint32("llama.rope.dimension_count", 8);
  model.extra.Uint32("llama.vocab_size", 10);

  const absl::StatusOr<ModelSpec> spec = model.Spec();

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->architecture, "llama");
  EXPECT_EQ(spec->layer_count, 2);
  EXPECT_EQ(spec->context_tokens_max, 128);
  EXPECT_EQ(spec->hidden_size, 64);
  EXPECT_EQ(spec->intermediate_size, 96);
  EXPECT_EQ(spec->head_count, 4);
  EXPECT_EQ(spec->kv_head_count, 2);
  EXPECT_EQ(spec->head_size, 16);
  EXPECT_EQ(spec->vocabulary_size, 10);
  EXPECT_FLOAT_EQ(spec->rms_norm_epsilon, 1e-5f);
  EXPECT_EQ(spec->rope.frequencies, MakeRope(100'000, spec->rope_size).frequencies);
  EXPECT_EQ(spec->rope_size, 8);
  EXPECT_EQ(spec->rope_layout, ModelSpec::RopeLayout::kInterleaved);
  EXPECT_TRUE(spec->tied_embeddings);
  EXPECT_FALSE(spec->qkv_bias);
  EXPECT_FALSE(spec->qk_norm);
}

TEST(ModelSpecTest, DefaultsOfWhatMayBeMissing) {
  Model model;
  model.without = "attention.head_count_kv";

  const absl::StatusOr<ModelSpec> spec = model.Spec();

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->kv_head_count, 4) << "without grouping each head has its own keys";
  EXPECT_EQ(spec->rope_size, 16) << "the whole head is rotated";
  EXPECT_EQ(spec->rope.frequencies, MakeRope(10'000, spec->rope_size).frequencies);
}

TEST(ModelSpecTest, AHeadOfItsOwnUntiesTheEmbeddings) {
  Model model;
  model.extra.Tensor("output.weight", TensorType::kF16, {64, 10});

  EXPECT_FALSE(model.Spec()->tied_embeddings);
}

TEST(ModelSpecTest, TheHeadSizeMayBeTheFiles) {
  Model model;
  model.extra.Uint32("llama.attention.key_length", 24).Uint32("llama.attention.value_length", 24);

  EXPECT_EQ(model.Spec()->head_size, 24);
}

struct BadModel {
  const char* message;
  std::function<void(Model&)> spoil;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

const BadModel kBadModels[] = {
    {"has no general.architecture", [](Model& m) { m.without = "general.architecture"; }},
    {"has no llama.block_count", [](Model& m) { m.without = "block_count"; }},
    {"has no llama.context_length", [](Model& m) { m.without = "context_length"; }},
    {"has no llama.embedding_length", [](Model& m) { m.without = "embedding_length"; }},
    {"has no llama.feed_forward_length", [](Model& m) { m.without = "feed_forward_length"; }},
    {"has no llama.attention.head_count", [](Model& m) { m.without = "attention.head_count"; }},
    {"has no llama.attention.layer_norm_rms_epsilon",
     [](Model& m) { m.without = "attention.layer_norm_rms_epsilon"; }},
    {"has no tensor token_embd.weight", [](Model& m) { m.without = "token_embd.weight"; }},
    {"is \"qwen9\"; this build runs: llama", [](Model& m) { m.architecture = "qwen9"; },
     kUnimplemented},
    {"llama.block_count is 0, beyond 1 to 512", [](Model& m) { m.layers = 0; }},
    {"llama.block_count is 513, beyond 1 to 512", [](Model& m) { m.layers = 513; }},
    {"llama.block_count is 4294967295,", [](Model& m) { m.layers = ~0u; }},
    {"llama.context_length is 0,", [](Model& m) { m.context = 0; }},
    {"llama.context_length is 16777217,", [](Model& m) { m.context = (1 << 24) + 1; }},
    {"llama.embedding_length is 65568,", [](Model& m) { m.hidden = 65'568; }},
    {"llama.feed_forward_length is 0,", [](Model& m) { m.intermediate = 0; }},
    {"llama.feed_forward_length is 262145,", [](Model& m) { m.intermediate = 262'145; }},
    {"llama.attention.head_count is 0,", [](Model& m) { m.heads = 0; }},
    {"llama.attention.head_count is 513,", [](Model& m) { m.heads = 513; }},
    {"llama.attention.head_count_kv is 0,", [](Model& m) { m.kv_heads = 0; }},
    {"head_count is 4, not a multiple of llama.attention.head_count_kv, 3",
     [](Model& m) { m.kv_heads = 3; }},
    {"not a multiple of llama.attention.head_count_kv, 8", [](Model& m) { m.kv_heads = 8; }},
    {"embedding_length is 64, not a multiple of llama.attention.head_count, 6",
     [](Model& m) { m.heads = 6; }},
    {"heads of 1 elements: not an even number", [](Model& m) { m.heads = 64; }},
    {"heads of 512 elements: not an even number up to 256", [](Model& m) { m.hidden = 2048; }},
    {"llama.attention.key_length is 257, beyond 1 to 256",
     [](Model& m) { m.extra.Uint32("llama.attention.key_length", 257); }},
    {"heads of 15 elements", [](Model& m) { m.extra.Uint32("llama.attention.key_length", 15); }},
    {"512 heads of 256 elements exceed the limit of 65536",
     [](Model& m) {
       m.heads = 512;
       m.extra.Uint32("llama.attention.key_length", 256);
     }},
    {"value_length is 8, unlike the keys' 16",
     [](Model& m) { m.extra.Uint32("llama.attention.value_length", 8); }, kUnimplemented},
    {"rope.dimension_count is 18, beyond 2 to 16",
     [](Model& m) { m.extra.Uint32("llama.rope.dimension_count", 18); }},
    {"rope.dimension_count is 7, an odd number",
     [](Model& m) { m.extra.Uint32("llama.rope.dimension_count", 7); }},
    {"rms_epsilon is 0,", [](Model& m) { m.epsilon = 0; }},
    {"rms_epsilon is nan,", [](Model& m) { m.epsilon = std::numeric_limits<float>::quiet_NaN(); }},
    {"rope.freq_base is 0,", [](Model& m) { m.extra.Float32("llama.rope.freq_base", 0); }},
    {"rope.freq_base is inf,", [](Model& m) { m.extra.Float64("llama.rope.freq_base", HUGE_VAL); }},
    {"rope.freq_base is a uint32", [](Model& m) { m.extra.Uint32("llama.rope.freq_base", 1); }},
    {"token_embd.weight is 64 x 10, not 64 x 11",
     [](Model& m) { m.extra.Uint32("llama.vocab_size", 11); }},
    {"output.weight is 64 x 9, not 64 x 10",
     [](Model& m) { m.extra.Tensor("output.weight", TensorType::kF32, {64, 9}); }},
    {"output.weight is 640, not 64 x 10",
     [](Model& m) { m.extra.Tensor("output.weight", TensorType::kF32, {640}); }},
    {"the feed-forward length is 100, not a multiple of 32",
     [](Model& m) {
       m.intermediate = 100;
       m.type = TensorType::kQ8_0;
     }},
    {"the embedding length is 72, not a multiple of 32",
     [](Model& m) {
       m.hidden = 72;
       m.extra.Tensor("x", TensorType::kQ4_1, {32});
     }},
    {"heads x head size is 48, not a multiple of 32",
     [](Model& m) {
       m.extra.Uint32("llama.attention.key_length", 12);
       m.type = TensorType::kQ8_0;
     }},
    {"llama.expert_count is 8", [](Model& m) { m.extra.Uint32("llama.expert_count", 8); },
     kUnimplemented},
    {"llama.attention.sliding_window is 4096",
     [](Model& m) { m.extra.Uint32("llama.attention.sliding_window", 4096); }, kUnimplemented},
    {"llama.attention.causal is 0", [](Model& m) { m.extra.Bool("llama.attention.causal", false); },
     kUnimplemented},
    {"llama.logit_scale is 0.5", [](Model& m) { m.extra.Float32("llama.logit_scale", 0.5f); },
     kUnimplemented},
    {"llama.rope.scaling.type is \"yarn\"; this build runs: none",
     [](Model& m) { m.extra.String("llama.rope.scaling.type", "yarn"); }, kUnimplemented},
    {"llama.rope.scaling.factor is 4",
     [](Model& m) { m.extra.Float32("llama.rope.scaling.factor", 4); }, kUnimplemented},
    {"llama.rope.scale_linear is 2",
     [](Model& m) { m.extra.Float32("llama.rope.scale_linear", 2); }, kUnimplemented},
    {"llama.rope.scaling.yarn_log_multiplier asks for rope scaling",
     [](Model& m) { m.extra.Float32("llama.rope.scaling.yarn_log_multiplier", 0.1f); },
     kUnimplemented},
    {"rope_freqs.weight stands for scaled rope frequencies",
     [](Model& m) { m.extra.Tensor("rope_freqs.weight", TensorType::kF32, {8}); }, kUnimplemented},
    {"blk.0.attn_q.bias stands for a bias",
     [](Model& m) { m.extra.Tensor("blk.0.attn_q.bias", TensorType::kF32, {64}); }, kUnimplemented},
    {"blk.0.attn_q_norm.weight stands for normalised queries",
     [](Model& m) { m.extra.Tensor("blk.0.attn_q_norm.weight", TensorType::kF32, {16}); },
     kUnimplemented},
};

TEST(ModelSpecTest, RefusesWhatItCannotRunByName) {
  ASSERT_TRUE(Model().Spec().ok()) << Model().Spec().status();
  for (const BadModel& bad : kBadModels) {
    Model model;
    bad.spoil(model);

    const absl::Status status = model.Spec().status();

    EXPECT_EQ(status.code(), bad.code) << bad.message << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

TEST(ModelSpecTest, TakesVariantsThatDoNothing) {
  Model model;
  model.extra.String("llama.rope.scaling.type", "none")
      .Float32("llama.rope.scaling.factor", 1)
      .Bool("llama.rope.scaling.finetuned", false)
      .Uint32("llama.rope.scaling.original_context_length", 128)
      .Uint32("llama.expert_count", 0)
      .Bool("llama.attention.causal", true);

  EXPECT_TRUE(model.Spec().ok()) << model.Spec().status();
}

TEST(ModelSpecTest, UnquantisedModelsMayHaveAnySize) {
  Model model;
  model.hidden = 40;
  model.intermediate = 100;

  EXPECT_TRUE(model.Spec().ok()) << model.Spec().status();
}

}  // namespace
}  // namespace spillway
