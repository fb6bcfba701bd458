#include "worker/model/model_spec.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/model/small_model.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

TEST(ModelSpecTest, ReadsALlama) {
  SmallModel model;
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
  SmallModel model;
  model.without = "attention.head_count_kv";

  const absl::StatusOr<ModelSpec> spec = model.Spec();

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->kv_head_count, 4) << "without grouping each head has its own keys";
  EXPECT_EQ(spec->rope_size, 16) << "the whole head is rotated";
  EXPECT_EQ(spec->rope.frequencies, MakeRope(10'000, spec->rope_size).frequencies);
}

TEST(ModelSpecTest, AHeadOfItsOwnUntiesTheEmbeddings) {
  SmallModel model;
  model.extra.Tensor("output.weight", TensorType::kF16, {64, 10});

  EXPECT_FALSE(model.Spec()->tied_embeddings);
}

TEST(ModelSpecTest, TheHeadSizeMayBeTheFiles) {
  SmallModel model;
  model.extra.Uint32("llama.attention.key_length", 24).Uint32("llama.attention.value_length", 24);

  EXPECT_EQ(model.Spec()->head_size, 24);
}

struct BadModel {
  const char* message;
  std::function<void(SmallModel&)> spoil;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

const BadModel kBadModels[] = {
    {"has no general.architecture", [](SmallModel& m) { m.without = "general.architecture"; }},
    {"has no llama.block_count", [](SmallModel& m) { m.without = "block_count"; }},
    {"has no llama.context_length", [](SmallModel& m) { m.without = "context_length"; }},
    {"has no llama.embedding_length", [](SmallModel& m) { m.without = "embedding_length"; }},
    {"has no llama.feed_forward_length", [](SmallModel& m) { m.without = "feed_forward_length"; }},
    {"has no llama.attention.head_count",
     [](SmallModel& m) { m.without = "attention.head_count"; }},
    {"has no llama.attention.layer_norm_rms_epsilon",
     [](SmallModel& m) { m.without = "attention.layer_norm_rms_epsilon"; }},
    {"has no tensor token_embd.weight", [](SmallModel& m) { m.without = "token_embd.weight"; }},
    {"is \"qwen9\"; this build runs: llama", [](SmallModel& m) { m.architecture = "qwen9"; },
     kUnimplemented},
    {"llama.block_count is 0, beyond 1 to 512", [](SmallModel& m) { m.layers = 0; }},
    {"llama.block_count is 513, beyond 1 to 512", [](SmallModel& m) { m.layers = 513; }},
    {"llama.block_count is 4294967295,", [](SmallModel& m) { m.layers = ~0u; }},
    {"llama.context_length is 0,", [](SmallModel& m) { m.context = 0; }},
    {"llama.context_length is 16777217,", [](SmallModel& m) { m.context = (1 << 24) + 1; }},
    {"llama.embedding_length is 65568,", [](SmallModel& m) { m.hidden = 65'568; }},
    {"llama.feed_forward_length is 0,", [](SmallModel& m) { m.intermediate = 0; }},
    {"llama.feed_forward_length is 262145,", [](SmallModel& m) { m.intermediate = 262'145; }},
    {"llama.attention.head_count is 0,", [](SmallModel& m) { m.heads = 0; }},
    {"llama.attention.head_count is 513,", [](SmallModel& m) { m.heads = 513; }},
    {"llama.attention.head_count_kv is 0,", [](SmallModel& m) { m.kv_heads = 0; }},
    {"head_count is 4, not a multiple of llama.attention.head_count_kv, 3",
     [](SmallModel& m) { m.kv_heads = 3; }},
    {"not a multiple of llama.attention.head_count_kv, 8", [](SmallModel& m) { m.kv_heads = 8; }},
    {"embedding_length is 64, not a multiple of llama.attention.head_count, 6",
     [](SmallModel& m) { m.heads = 6; }},
    {"heads of 1 elements: not an even number", [](SmallModel& m) { m.heads = 64; }},
    {"heads of 512 elements: not an even number up to 256", [](SmallModel& m) { m.hidden = 2048; }},
    {"llama.attention.key_length is 257, beyond 1 to 256",
     [](SmallModel& m) { m.extra.Uint32("llama.attention.key_length", 257); }},
    {"heads of 15 elements",
     [](SmallModel& m) { m.extra.Uint32("llama.attention.key_length", 15); }},
    {"512 heads of 256 elements exceed the limit of 65536",
     [](SmallModel& m) {
       m.heads = 512;
       m.extra.Uint32("llama.attention.key_length", 256);
     }},
    {"value_length is 8; this build runs models with 16",
     [](SmallModel& m) { m.extra.Uint32("llama.attention.value_length", 8); }, kUnimplemented},
    {"rope.dimension_count is 18, beyond 2 to 16",
     [](SmallModel& m) { m.extra.Uint32("llama.rope.dimension_count", 18); }},
    {"rope.dimension_count is 7, an odd number",
     [](SmallModel& m) { m.extra.Uint32("llama.rope.dimension_count", 7); }},
    {"rms_epsilon is 0,", [](SmallModel& m) { m.epsilon = 0; }},
    {"rms_epsilon is nan,",
     [](SmallModel& m) { m.epsilon = std::numeric_limits<float>::quiet_NaN(); }},
    {"rope.freq_base is 0,", [](SmallModel& m) { m.extra.Float32("llama.rope.freq_base", 0); }},
    {"rope.freq_base is inf,",
     [](SmallModel& m) { m.extra.Float64("llama.rope.freq_base", HUGE_VAL); }},
    {"rope.freq_base is a uint32",
     [](SmallModel& m) { m.extra.Uint32("llama.rope.freq_base", 1); }},
    {"token_embd.weight is 64 x 10, not 64 x 11",
     [](SmallModel& m) { m.extra.Uint32("llama.vocab_size", 11); }},
    {"output.weight is 64 x 9, not 64 x 10",
     [](SmallModel& m) { m.extra.Tensor("output.weight", TensorType::kF32, {64, 9}); }},
    {"output.weight is 640, not 64 x 10",
     [](SmallModel& m) { m.extra.Tensor("output.weight", TensorType::kF32, {640}); }},
    {"llama.expert_count is 8", [](SmallModel& m) { m.extra.Uint32("llama.expert_count", 8); },
     kUnimplemented},
    {"llama.attention.sliding_window is 4294967295, beyond 0 to 16777216",
     [](SmallModel& m) { m.extra.Uint32("llama.attention.sliding_window", ~0u); }},
    {"qwen2.attention.sliding_window and no qwen2.attention.sliding_window_pattern",
     [](SmallModel& m) {
       m.architecture = "qwen2";
       m.extra.Uint32("qwen2.attention.sliding_window", 4096);
     },
     kUnimplemented},
    {"llama.attention.sliding_window_pattern has 3 entries for 2 layers",
     [](SmallModel& m) {
       m.extra.Uint32("llama.attention.sliding_window", 8);
       m.extra.RawArray("llama.attention.sliding_window_pattern", 7, 3, std::string(3, '\1'));
     }},
    {"llama.attn_logit_softcapping is 50",
     [](SmallModel& m) { m.extra.Float32("llama.attn_logit_softcapping", 50); }, kUnimplemented},
    {"gemma2.final_logit_softcapping is -1, beyond 0",
     [](SmallModel& m) {
       m.architecture = "gemma2";
       m.extra.Float32("gemma2.final_logit_softcapping", -1);
     }},
    {"llama.attention.scale is inf",
     [](SmallModel& m) { m.extra.Float64("llama.attention.scale", HUGE_VAL); }},
    {"mistral3.attention.temperature_scale is 0.1",
     [](SmallModel& m) {
       m.architecture = "mistral3";
       m.extra.Float32("mistral3.attention.temperature_scale", 0.1f);
     },
     kUnimplemented},
    {"llama.attention.key_length_swa is 8",
     [](SmallModel& m) { m.extra.Uint32("llama.attention.key_length_swa", 8); }, kUnimplemented},
    {"llama.attention.causal is 0",
     [](SmallModel& m) { m.extra.Bool("llama.attention.causal", false); }, kUnimplemented},
    {"llama.logit_scale is 0.5", [](SmallModel& m) { m.extra.Float32("llama.logit_scale", 0.5f); },
     kUnimplemented},
    {"output.bias stands for a bias of the head",
     [](SmallModel& m) { m.extra.Tensor("output.bias", TensorType::kF32, {10}); }, kUnimplemented},
    {"blk.0.attn_q_norm.weight stands for normalised queries",
     [](SmallModel& m) { m.extra.Tensor("blk.0.attn_q_norm.weight", TensorType::kF32, {16}); },
     kUnimplemented},
};

TEST(ModelSpecTest, RefusesWhatItCannotRunByName) {
  ASSERT_TRUE(SmallModel().Spec().ok()) << SmallModel().Spec().status();
  for (const BadModel& bad : kBadModels) {
    SmallModel model;
    bad.spoil(model);

    const absl::Status status = model.Spec().status();

    EXPECT_EQ(status.code(), bad.code) << bad.message << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

TEST(ModelSpecTest, TakesVariantsThatDoNothing) {
  SmallModel model;
  model.extra.String("llama.rope.scaling.type", "none")
      .Float32("llama.rope.scaling.factor", 1)
      .Bool("llama.rope.scaling.finetuned", false)
      .Uint32("llama.rope.scaling.original_context_length", 128)
      .Uint32("llama.expert_count", 0)
      .Bool("llama.attention.causal", true);

  EXPECT_TRUE(model.Spec().ok()) << model.Spec().status();
}

TEST(ModelSpecTest, SizesNeedNotDivideByAnything) {
  SmallModel model;
  model.hidden = 40;
  model.intermediate = 101;
  model.vocabulary = 13;

  EXPECT_TRUE(model.Spec().ok()) << model.Spec().status();
}

TEST(ModelSpecTest, ArchitecturesAreRowsOfOneTable) {
  using Layout = ModelSpec::RopeLayout;
  EXPECT_EQ(SpecOf("mistral3").rope_layout, Layout::kInterleaved);
  const ModelSpec qwen2 = SpecOf("qwen2");
  EXPECT_TRUE(qwen2.qkv_bias && !qwen2.qk_norm && !qwen2.post_norms);
  EXPECT_EQ(qwen2.rope_layout, Layout::kHalves);
  const ModelSpec qwen3 = SpecOf("qwen3");
  EXPECT_TRUE(!qwen3.qkv_bias && qwen3.qk_norm && !qwen3.post_norms);
  EXPECT_EQ(qwen3.activation, ModelSpec::Activation::kSilu);
  EXPECT_EQ(qwen3.embedding_scale, 1);
  for (const char* const name : {"gemma", "gemma2", "gemma3"}) {
    const ModelSpec gemma = SpecOf(name);
    EXPECT_EQ(gemma.activation, ModelSpec::Activation::kGeluTanh);
    EXPECT_EQ(gemma.embedding_scale, 8);  // sqrt(64)
    EXPECT_EQ(gemma.norm_offset, 0) << "GGUF's norms have the 1 in them";
    EXPECT_EQ(gemma.attention_scale, 0);
    EXPECT_EQ(gemma.post_norms, gemma.architecture != "gemma");
    EXPECT_EQ(gemma.qk_norm, gemma.architecture == "gemma3");
  }
}

TEST(ModelSpecTest, GemmasWindowsAndCapsWithoutKeys) {
  const ModelSpec gemma = SpecOf("gemma");
  EXPECT_EQ(gemma.sliding_window, 0);
  EXPECT_EQ(gemma.logit_soft_cap, 0);
  const ModelSpec gemma2 = SpecOf("gemma2");
  EXPECT_EQ(gemma2.sliding_window, 4096);
  EXPECT_EQ(gemma2.local_layers, std::vector<bool>({true, false, true, false}));
  EXPECT_EQ(gemma2.attention_soft_cap, 50);
  EXPECT_EQ(gemma2.logit_soft_cap, 30);
  const ModelSpec gemma3 = SpecOf("gemma3");
  EXPECT_EQ(gemma3.sliding_window, 0);
  EXPECT_TRUE(gemma3.local_layers.empty());
  EXPECT_EQ(gemma3.attention_soft_cap, 0);
  EXPECT_EQ(gemma3.logit_soft_cap, 0);
  EXPECT_EQ(gemma3.rope.frequencies, MakeRope(1e6, 16).frequencies);
  EXPECT_EQ(gemma3.local_rope.frequencies, MakeRope(1e4, 16).frequencies);
}

TEST(ModelSpecTest, AnOllamaFileOfGemma3IsCorrected) {
  const auto ollamas = [](GgufBuilder& builder) {
    builder.Float32("gemma3.rope.local.freq_base", 500)
        .Float32("gemma3.rope.global.freq_base", 2e6);
    builder.Float32("gemma3.final_logit_softcapping", 30);
  };
  const ModelSpec other = SpecOf("gemma3", ollamas, /*layers=*/27);
  EXPECT_EQ(other.logit_soft_cap, 30);
  EXPECT_EQ(other.rope.frequencies, MakeRope(2e6, 16).frequencies);
  EXPECT_EQ(other.local_rope.frequencies, MakeRope(500, 16).frequencies);
  EXPECT_EQ(SpecOf("gemma3", ollamas, /*layers=*/26).logit_soft_cap, 0);
  const ModelSpec large = SpecOf("gemma3", ollamas, /*layers=*/34);
  EXPECT_EQ(large.rope.frequencies[0], 1.0 / 8);
  EXPECT_EQ(large.local_rope.frequencies[0], 1);
}

TEST(ModelSpecTest, TheLargestGemmasScaleByTheSharesOfHeads) {
  EXPECT_EQ(SpecOf("gemma2", [](GgufBuilder&) {}, 46).attention_scale, 0.25f);  // 64 / 4 heads
  EXPECT_EQ(SpecOf("gemma3", [](GgufBuilder&) {}, 62).attention_scale, 0.25f);
  EXPECT_EQ(SpecOf(
                "gemma2", [](GgufBuilder& b) { b.Float32("gemma2.attention.scale", 0.5f); }, 46)
                .attention_scale,
            0.5f);
}

TEST(ModelSpecTest, WindowsAreForTheLayersThatThePatternSays) {
  const auto local_layers = [](const std::string& architecture, int pattern) {
    return SpecOf(architecture,
                  [&](GgufBuilder& builder) {
                    builder.Uint32(architecture + ".attention.sliding_window", 8);
                    const std::string key = architecture + ".attention.sliding_window_pattern";
                    if (pattern >= 0) builder.Uint32(key, static_cast<uint32_t>(pattern));
                  })
        .local_layers;
  };
  EXPECT_EQ(local_layers("llama", -1), std::vector<bool>(4, true)) << "as Mistral's";
  EXPECT_EQ(local_layers("qwen3", 3), std::vector<bool>({true, true, false, true}));
  EXPECT_EQ(local_layers("qwen3", 0), std::vector<bool>(4, true));
  EXPECT_EQ(local_layers("qwen3", 1), std::vector<bool>(4, false));
  const ModelSpec listed = SpecOf("qwen2", [](GgufBuilder& builder) {
    builder.Uint32("qwen2.attention.sliding_window", 8);
    builder.RawArray("qwen2.attention.sliding_window_pattern", 7, 4,
                     std::string_view("\0\1\1\0", 4));
  });
  EXPECT_EQ(listed.local_layers, std::vector<bool>({false, true, true, false}));
}

}  // namespace
}  // namespace spillway
