#include "worker/model/hf_decoder_tensors.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/temp_folder.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelSpec OneLayer() {
  ModelSpec spec;
  spec.architecture = "llama";
  spec.layer_count = 1;
  return spec;
}

// The tensors of a plain decoder of one layer, each [2, 3], but for those that `without` names.
SafetensorsBuilder Decoder(const std::string& prefix = "model.", const std::string& without = "") {
  SafetensorsBuilder builder;
  for (const char* name :
       {"embed_tokens.weight", "norm.weight", "layers.0.input_layernorm.weight",
        "layers.0.self_attn.q_proj.weight", "layers.0.self_attn.k_proj.weight",
        "layers.0.self_attn.v_proj.weight", "layers.0.self_attn.o_proj.weight",
        "layers.0.mlp.gate_proj.weight", "layers.0.mlp.up_proj.weight",
        "layers.0.mlp.down_proj.weight", "layers.0.post_attention_layernorm.weight"}) {
    if (without != name) builder.Zeros(prefix + name, "BF16", 2, {2, 3});
  }
  return builder;
}

struct Made {
  absl::StatusOr<std::unique_ptr<TensorSource>> tensors;
  ModelSpec spec;
};
Made Make(const SafetensorsBuilder& builder, ModelSpec spec, std::string_view config = "{}") {
  const TempFolder temp;
  temp.Write("model.safetensors", builder.Build());
  auto tensors =
      MakeHfDecoderTensors(*SafetensorsSet::Open(*ModelFolder::Open(temp.path())), config, spec);
  return {std::move(tensors), std::move(spec)};
}
std::string Refusal(const SafetensorsBuilder& builder, const ModelSpec& spec,
                    absl::StatusCode code) {
  const Made made = Make(builder, spec);
  EXPECT_EQ(made.tensors.status().code(), code) << made.tensors.status();
  return std::string(made.tensors.status().message());
}

TEST(HfDecoderTensorsTest, AnswerToGgufsNames) {
  SafetensorsBuilder builder = Decoder();
  builder.Zeros("lm_head.weight", "F32", 4, {5, 3});

  const Made made = Make(builder, OneLayer());

  ASSERT_TRUE(made.tensors.ok()) << made.tensors.status();
  const TensorSource& tensors = **made.tensors;
  for (const char* name :
       {"token_embd.weight", "output_norm.weight", "output.weight", "blk.0.attn_norm.weight",
        "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight",
        "blk.0.attn_output.weight", "blk.0.ffn_norm.weight", "blk.0.ffn_gate.weight",
        "blk.0.ffn_up.weight", "blk.0.ffn_down.weight"}) {
    EXPECT_NE(tensors.FindTensor(name), nullptr) << name;
  }
  const ModelTensor& head = *tensors.FindTensor("output.weight");
  EXPECT_EQ(head.name, "lm_head.weight");
  EXPECT_EQ(head.type, TensorType::kF32);
  EXPECT_THAT(head.dims, ElementsAre(3, 5));  // the contiguous one first
  EXPECT_EQ(head.data.size(), 60u);
  EXPECT_EQ(tensors.FindTensor("lm_head.weight"), nullptr);
}

TEST(HfDecoderTensorsTest, EveryVariantHasItsTensors) {
  SafetensorsBuilder builder = Decoder();
  for (const char* name :
       {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias",
        "self_attn.o_proj.bias", "self_attn.q_norm.weight", "self_attn.k_norm.weight",
        "mlp.gate_proj.bias", "mlp.up_proj.bias", "mlp.down_proj.bias"}) {
    builder.Zeros(std::string("model.layers.0.") + name, "F16", 2, {3});
  }
  builder.Zeros("model.layers.0.pre_feedforward_layernorm.weight", "F16", 2, {7})
      .Zeros("model.layers.0.post_feedforward_layernorm.weight", "F16", 2, {9});
  ModelSpec spec = OneLayer();
  spec.tied_embeddings = spec.qkv_bias = spec.qk_norm = spec.post_norms = true;
  spec.attention_output_bias = spec.ffn_bias = true;

  const Made made = Make(builder, spec);

  ASSERT_TRUE(made.tensors.ok()) << made.tensors.status();
  for (const char* name :
       {"attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_output.bias", "attn_q_norm.weight",
        "attn_k_norm.weight", "ffn_gate.bias", "ffn_up.bias", "ffn_down.bias"}) {
    EXPECT_NE((*made.tensors)->FindTensor(std::string("blk.0.") + name), nullptr) << name;
  }
  EXPECT_THAT((*made.tensors)->FindTensor("blk.0.ffn_norm.weight")->dims, ElementsAre(7));
  EXPECT_THAT((*made.tensors)->FindTensor("blk.0.post_ffw_norm.weight")->dims, ElementsAre(9));
  EXPECT_EQ((*made.tensors)->FindTensor("blk.0.post_attention_norm.weight")->name,
            "model.layers.0.post_attention_layernorm.weight");
}

TEST(HfDecoderTensorsTest, TextPartIsFoundUnderItsPrefixes) {
  ModelSpec spec = OneLayer();
  spec.tied_embeddings = true;
  for (const char* prefix : {"", "model.", "language_model.model.", "model.language_model."}) {
    SafetensorsBuilder builder = Decoder(prefix);
    builder.Zeros("vision_tower.x", "F32", 4, {1}).Zeros("model.vision_tower.x", "F32", 4, {1});
    const Made made = Make(builder, spec);
    ASSERT_TRUE(made.tensors.ok()) << prefix << made.tensors.status();
    EXPECT_EQ((*made.tensors)->FindTensor("token_embd.weight")->name,
              std::string(prefix) + "embed_tokens.weight");
  }
}

TEST(HfDecoderTensorsTest, MissingTensorIsNamedAsTheFilesCallIt) {
  ModelSpec spec = OneLayer();
  EXPECT_THAT(Refusal(Decoder(), spec, absl::StatusCode::kInvalidArgument),
              HasSubstr("there is no tensor lm_head.weight"));
  spec.tied_embeddings = true;
  EXPECT_THAT(Refusal(Decoder("model.", "layers.0.mlp.up_proj.weight"), spec,
                      absl::StatusCode::kInvalidArgument),
              HasSubstr("there is no tensor model.layers.0.mlp.up_proj.weight"));
  spec.layer_count = 2;
  EXPECT_THAT(Refusal(Decoder(), spec, absl::StatusCode::kInvalidArgument),
              HasSubstr("model.layers.1."));
  EXPECT_THAT(Refusal(SafetensorsBuilder(), spec, absl::StatusCode::kInvalidArgument),
              HasSubstr("model.embed_tokens.weight"));
}

TEST(HfDecoderTensorsTest, OtherTensorsStandForOtherModels) {
  ModelSpec spec = OneLayer();
  spec.tied_embeddings = true;
  for (const char* name : {"model.layers.1.input_layernorm.weight",
                           "model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.sinks",
                           "score.weight", "model.layers.0.mlp.up_proj.weight_scale"}) {
    SafetensorsBuilder builder = Decoder();
    builder.Zeros(name, "F32", 4, {1});
    EXPECT_THAT(Refusal(builder, spec, absl::StatusCode::kUnimplemented), HasSubstr(name));
  }
  SafetensorsBuilder builder = Decoder();
  builder.Zeros("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", 4, {1});
  EXPECT_TRUE(Make(builder, spec).tensors.ok());
}

TEST(HfDecoderTensorsTest, OtherDtypesAreNamed) {
  SafetensorsBuilder builder = Decoder("model.", "layers.0.mlp.up_proj.weight");
  builder.Zeros("model.layers.0.mlp.up_proj.weight", "F8_E4M3", 1, {2, 3});
  ModelSpec spec = OneLayer();
  spec.tied_embeddings = true;
  const std::string message = Refusal(builder, spec, absl::StatusCode::kUnimplemented);
  EXPECT_THAT(message, HasSubstr("model.layers.0.mlp.up_proj.weight has the dtype F8_E4M3"));
  EXPECT_THAT(message, HasSubstr("BF16, F16 and F32"));
}

TEST(HfDecoderTensorsTest, TiedHeadMayBeSavedTwice) {
  ModelSpec tied = OneLayer();
  tied.tied_embeddings = true;
  SafetensorsBuilder same = Decoder();
  same.Zeros("lm_head.weight", "BF16", 2, {2, 3});
  SafetensorsBuilder other = Decoder();
  other.Tensor("lm_head.weight", "BF16", "[2,3]", "abcdefghijkl");

  EXPECT_TRUE(Make(same, tied).spec.tied_embeddings);
  const Made untied = Make(other, tied);
  ASSERT_TRUE(untied.tensors.ok()) << untied.tensors.status();
  EXPECT_FALSE(untied.spec.tied_embeddings);
  EXPECT_NE((*untied.tensors)->FindTensor("output.weight"), nullptr);
}

TEST(HfDecoderTensorsTest, TiedTableMayBeSavedAsTheHead) {
  ModelSpec tied = OneLayer();
  tied.tied_embeddings = true;
  SafetensorsBuilder builder = Decoder("model.", "embed_tokens.weight");
  builder.Zeros("lm_head.weight", "BF16", 2, {2, 3});

  const Made made = Make(builder, tied);

  ASSERT_TRUE(made.tensors.ok()) << made.tensors.status();
  EXPECT_TRUE(made.spec.tied_embeddings);
  EXPECT_EQ((*made.tensors)->FindTensor("token_embd.weight")->name, "lm_head.weight");
}

TEST(HfDecoderTensorsTest, HashIsOfConfigAndTensors) {
  ModelSpec spec = OneLayer();
  spec.tied_embeddings = true;
  SafetensorsBuilder other = Decoder("model.", "norm.weight");
  other.Tensor("model.norm.weight", "BF16", "[2,3]", "abcdefghijkl");
  const std::string hash = (*Make(Decoder(), spec).tensors)->HeaderHash();
  EXPECT_EQ((*Make(Decoder(), spec).tensors)->HeaderHash(), hash);
  EXPECT_NE((*Make(Decoder(), spec, "{ }").tensors)->HeaderHash(), hash);
  EXPECT_NE((*Make(other, spec).tensors)->HeaderHash(), hash);
}

}  // namespace
}  // namespace spillway
