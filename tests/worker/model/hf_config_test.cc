#include "worker/model/hf_config.h"

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<ModelSpec> Read(const std::string& json) {
  const absl::StatusOr<JsonObject> config = JsonObject::Parse(json, "config.json");
  EXPECT_TRUE(config.ok()) << config.status();
  return ModelSpecFromHfConfig(*config);
}

// A small model of `type` with further fields, which may override the usual ones.
std::string Config(const std::string& type, const std::string& fields = "") {
  return R"({"model_type":")" + type +
         R"(","hidden_size":64,"intermediate_size":96,"num_hidden_layers":4,)" +
         R"("num_attention_heads":4,"num_key_value_heads":2,"vocab_size":100,)" +
         R"("max_position_embeddings":128,"head_dim":16)" + (fields.empty() ? "" : ",") + fields +
         "}";
}
ModelSpec Spec(const std::string& type, const std::string& fields = "") {
  const auto spec = Read(Config(type, fields));
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? *spec : ModelSpec();
}
std::string Refusal(const std::string& type, const std::string& fields, absl::StatusCode code) {
  const auto spec = Read(Config(type, fields));
  EXPECT_EQ(spec.status().code(), code) << type << " " << fields;
  return std::string(spec.status().message());
}
std::string Invalid(const std::string& type, const std::string& fields) {
  return Refusal(type, fields, absl::StatusCode::kInvalidArgument);
}
std::string Unimplemented(const std::string& type, const std::string& fields) {
  return Refusal(type, fields, absl::StatusCode::kUnimplemented);
}

TEST(HfConfigTest, LlamaHasItsSizes) {
  const ModelSpec spec = Spec("llama", R"("rms_norm_eps":1e-05,"rope_theta":500000.0)");

  EXPECT_EQ(spec.architecture, "llama");
  EXPECT_EQ(spec.layer_count, 4);
  EXPECT_EQ(spec.hidden_size, 64);
  EXPECT_EQ(spec.intermediate_size, 96);
  EXPECT_EQ(spec.head_count, 4);
  EXPECT_EQ(spec.kv_head_count, 2);
  EXPECT_EQ(spec.head_size, 16);
  EXPECT_EQ(spec.rope_size, 16);
  EXPECT_EQ(spec.vocabulary_size, 100);
  EXPECT_EQ(spec.context_tokens_max, 128);
  EXPECT_FLOAT_EQ(spec.rms_norm_epsilon, 1e-5f);
  EXPECT_EQ(spec.rope_layout, ModelSpec::RopeLayout::kHalves);
  EXPECT_DOUBLE_EQ(spec.rope.frequencies[1], std::pow(5e5, -1.0 / 8));
  EXPECT_FALSE(spec.tied_embeddings || spec.qkv_bias || spec.qk_norm || spec.post_norms);
  EXPECT_EQ(spec.sliding_window, 0);
  EXPECT_EQ(spec.activation, ModelSpec::Activation::kSilu);
}

TEST(HfConfigTest, MissingFieldsAreThoseOfTheConfigurationClass) {
  const auto sizes = [](const char* type) {
    return Read(std::string(R"({"model_type":")") + type +
                R"(","hidden_size":2048,"intermediate_size":96,"num_hidden_layers":4})");
  };
  const ModelSpec llama = *sizes("llama");
  EXPECT_EQ(llama.head_count, 32);
  EXPECT_EQ(llama.kv_head_count, 32);
  EXPECT_EQ(llama.head_size, 64);
  EXPECT_EQ(llama.vocabulary_size, 32000);
  EXPECT_EQ(llama.context_tokens_max, 2048);
  EXPECT_FLOAT_EQ(llama.rms_norm_epsilon, 1e-6f);
  const ModelSpec mistral = *sizes("mistral");
  EXPECT_EQ(mistral.kv_head_count, 8);
  EXPECT_EQ(mistral.context_tokens_max, 131072);
  EXPECT_EQ(sizes("qwen3")->head_size, 128);
  EXPECT_EQ(sizes("gemma")->head_count, 16);
  const ModelSpec gemma3 = *sizes("gemma3_text");
  EXPECT_EQ(gemma3.head_count, 8);
  EXPECT_EQ(gemma3.kv_head_count, 4);
  EXPECT_EQ(gemma3.head_size, 256);
  EXPECT_EQ(gemma3.vocabulary_size, 262208);
}

TEST(HfConfigTest, SizesAreRequiredAndBounded) {
  EXPECT_THAT(std::string(Read(R"({"model_type":"llama"})").status().message()),
              HasSubstr("num_hidden_layers is missing"));
  EXPECT_THAT(Invalid("llama", R"("num_hidden_layers":0)"), HasSubstr("beyond 1 to 512"));
  EXPECT_THAT(Invalid("llama", R"("hidden_size":65537)"), HasSubstr("beyond 1 to 65536"));
  EXPECT_THAT(Invalid("llama", R"("intermediate_size":-1)"), HasSubstr("intermediate_size is -1"));
  EXPECT_THAT(Invalid("llama", R"("vocab_size":2000000)"), HasSubstr("vocab_size"));
  EXPECT_THAT(Invalid("llama", R"("max_position_embeddings":1e9)"), HasSubstr("not an integer"));
  EXPECT_THAT(Invalid("llama", R"("rms_norm_eps":0.5)"), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(Invalid("llama", R"("num_attention_heads":3)"), HasSubstr("not a multiple"));
  EXPECT_THAT(Invalid("llama", R"("head_dim":15)"), HasSubstr("not an even number"));
  EXPECT_THAT(Invalid("llama", R"("head_dim":258)"), HasSubstr("head_dim"));
  EXPECT_THAT(Invalid("llama", R"("head_dim":null,"num_attention_heads":6)"),
              HasSubstr("not a multiple of num_attention_heads"));
  EXPECT_THAT(Invalid("llama", R"("head_dim":256,"num_attention_heads":512)"),
              HasSubstr("exceed the limit"));
}

TEST(HfConfigTest, UnknownModelTypeNamesTheChoices) {
  const std::string message = Unimplemented("mamba", "");
  EXPECT_THAT(message, HasSubstr("model_type is \"mamba\""));
  EXPECT_THAT(message, HasSubstr("llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3_text"));
}

TEST(HfConfigTest, VariantsAreRefusedByName) {
  EXPECT_THAT(Unimplemented("llama", R"("quantization_config":{"quant_method":"gptq","bits":4})"),
              HasSubstr("quantised (gptq)"));
  EXPECT_THAT(Unimplemented("llama", R"("quantization_config":{"quant_method":"fp8"})"),
              HasSubstr("fp8"));
  EXPECT_THAT(Unimplemented("gemma3_text", R"("use_bidirectional_attention":true)"),
              HasSubstr("use_bidirectional_attention"));
  EXPECT_THAT(Unimplemented("qwen3", R"("is_causal":false)"), HasSubstr("is_causal"));
  EXPECT_THAT(Unimplemented("llama", R"("hidden_act":"relu")"), HasSubstr("silu"));
  EXPECT_THAT(Unimplemented("gemma2", R"("hidden_activation":"gelu")"),
              HasSubstr("gelu_pytorch_tanh"));
  EXPECT_THAT(Unimplemented("llama", R"("partial_rotary_factor":0.5)"), HasSubstr("whole heads"));
}

TEST(HfConfigTest, QwensHaveTheirBiasesAndNorms) {
  EXPECT_TRUE(Spec("qwen2").qkv_bias);
  EXPECT_FALSE(Spec("qwen2").qk_norm);
  EXPECT_FALSE(Spec("qwen3").qkv_bias);
  EXPECT_TRUE(Spec("qwen3").qk_norm);
}

TEST(HfConfigTest, BiasesAreThoseThatTheFamilyHasAFieldFor) {
  const ModelSpec llama = Spec("llama", R"("attention_bias":true)");
  EXPECT_TRUE(llama.qkv_bias && llama.attention_output_bias);
  EXPECT_FALSE(llama.ffn_bias);
  EXPECT_TRUE(Spec("llama", R"("mlp_bias":true)").ffn_bias);
  EXPECT_FALSE(Spec("llama", R"("mlp_bias":true)").qkv_bias);
  EXPECT_TRUE(Spec("gemma2", R"("attention_bias":true)").attention_output_bias);
  EXPECT_TRUE(Spec("qwen3", R"("attention_bias":true)").qkv_bias);
  EXPECT_FALSE(Spec("qwen3", R"("mlp_bias":true)").ffn_bias);
  // A Qwen2 has those of q, k and v only, a Mistral none.
  EXPECT_TRUE(Spec("qwen2", R"("attention_bias":false)").qkv_bias);
  EXPECT_FALSE(Spec("qwen2", R"("attention_bias":true)").attention_output_bias);
  EXPECT_FALSE(Spec("mistral", R"("attention_bias":true)").qkv_bias);
}

TEST(HfConfigTest, GemmasHaveTheirScales) {
  const ModelSpec gemma = Spec("gemma", R"("hidden_act":"gelu")");
  EXPECT_EQ(gemma.norm_offset, 1);
  EXPECT_FLOAT_EQ(gemma.embedding_scale, 8);
  EXPECT_EQ(gemma.activation, ModelSpec::Activation::kGeluTanh);
  EXPECT_EQ(gemma.attention_scale, 0);
  EXPECT_FALSE(gemma.post_norms);
  EXPECT_TRUE(gemma.tied_embeddings);

  const ModelSpec gemma2 = Spec("gemma2", R"("query_pre_attn_scalar":144,"hidden_act":"relu")");
  EXPECT_TRUE(gemma2.post_norms);
  EXPECT_FALSE(gemma2.qk_norm);
  EXPECT_FLOAT_EQ(gemma2.attention_scale, 1.0f / 12);
  EXPECT_EQ(gemma2.attention_soft_cap, 50);
  EXPECT_EQ(gemma2.logit_soft_cap, 30);
  EXPECT_EQ(Spec("gemma2", R"("attn_logit_softcapping":null)").attention_soft_cap, 0);
  EXPECT_EQ(Spec("gemma2", R"("final_logit_softcapping":5.0)").logit_soft_cap, 5);

  const ModelSpec gemma3 = Spec("gemma3_text");
  EXPECT_TRUE(gemma3.post_norms && gemma3.qk_norm);
  EXPECT_FLOAT_EQ(gemma3.attention_scale, 1.0f / 16);
  EXPECT_EQ(gemma3.attention_soft_cap, 0);
  EXPECT_EQ(Spec("gemma3_text", R"("attn_logit_softcapping":50.0)").attention_soft_cap, 0)
      << "transformers' Gemma3Attention leaves it out";
  EXPECT_EQ(gemma3.logit_soft_cap, 0);
}

TEST(HfConfigTest, TyingIsTheFamilysUnlessSaid) {
  EXPECT_FALSE(Spec("qwen3").tied_embeddings);
  EXPECT_TRUE(Spec("qwen3", R"("tie_word_embeddings":true)").tied_embeddings);
  EXPECT_TRUE(Spec("gemma3_text").tied_embeddings);
  EXPECT_FALSE(Spec("gemma2", R"("tie_word_embeddings":false)").tied_embeddings);
}

TEST(HfConfigTest, MistralsLayersAreAllLocal) {
  EXPECT_EQ(Spec("mistral").sliding_window, 4096);
  EXPECT_THAT(Spec("mistral", R"("sliding_window":20)").local_layers,
              ElementsAre(true, true, true, true));
  EXPECT_EQ(Spec("mistral", R"("sliding_window":null)").sliding_window, 0);
  EXPECT_THAT(Spec("mistral", R"("sliding_window":null)").local_layers, IsEmpty());
  EXPECT_THAT(Invalid("mistral", R"("sliding_window":0)"), HasSubstr("sliding_window is 0"));
  EXPECT_EQ(Spec("llama", R"("sliding_window":20)").sliding_window, 0);
}

TEST(HfConfigTest, QwensUpperLayersAreLocalIfAskedFor) {
  EXPECT_EQ(Spec("qwen2", R"("sliding_window":20,"max_window_layers":1)").sliding_window, 0);
  const ModelSpec spec =
      Spec("qwen2", R"("use_sliding_window":true,"sliding_window":20,"max_window_layers":3)");
  EXPECT_EQ(spec.sliding_window, 20);
  EXPECT_THAT(spec.local_layers, ElementsAre(false, false, false, true));
  // By default from layer 28 on.
  EXPECT_EQ(Spec("qwen2", R"("use_sliding_window":true,"sliding_window":20)").sliding_window, 0);
}

TEST(HfConfigTest, LayerTypesDecide) {
  const std::string types =
      R"("layer_types":["full_attention","sliding_attention","full_attention","full_attention"])";
  EXPECT_THAT(Spec("gemma2", types).local_layers, ElementsAre(false, true, false, false));
  EXPECT_THAT(Spec("qwen3", types + R"(,"use_sliding_window":true)").local_layers,
              ElementsAre(false, true, false, false));
  EXPECT_THAT(Invalid("gemma2", R"("layer_types":["full_attention"])"),
              HasSubstr("1 entries for 4 layers"));
  EXPECT_THAT(Unimplemented("gemma2", R"("layer_types":["chunked_attention","full_attention",)"
                                      R"("full_attention","full_attention"])"),
              HasSubstr("chunked_attention"));
}

TEST(HfConfigTest, GemmasLayersAlternateByTheirPattern) {
  EXPECT_THAT(Spec("gemma2").local_layers, ElementsAre(true, false, true, false));
  EXPECT_THAT(Spec("gemma3_text", R"("sliding_window_pattern":3)").local_layers,
              ElementsAre(true, true, false, true));
  EXPECT_THAT(Spec("gemma3_text").local_layers, ElementsAre(true, true, true, true));
  EXPECT_EQ(Spec("gemma3_text").sliding_window, 4096);
}

TEST(HfConfigTest, TextPartOfAModelOfSeveral) {
  const std::string text =
      R"({"model_type":"gemma3_text","hidden_size":64,"intermediate_size":96,)"
      R"("num_hidden_layers":2,"rope_scaling":{"factor":8.0,"rope_type":"linear"}})";
  const auto spec = Read(R"({"model_type":"gemma3","text_config":)" + text + "}");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->architecture, "gemma3_text");
  EXPECT_EQ(spec->head_size, 256);
  EXPECT_TRUE(spec->tied_embeddings);
  EXPECT_DOUBLE_EQ(spec->rope.frequencies[0], 1.0 / 8);
  EXPECT_FALSE(Read(R"({"model_type":"gemma3"})").ok());
  const auto untied =
      Read(R"({"model_type":"gemma3","tie_word_embeddings":false,"text_config":)" + text + "}");
  EXPECT_FALSE(untied->tied_embeddings);
}

}  // namespace
}  // namespace spillway
