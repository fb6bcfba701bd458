#include "worker/model/encoder_spec.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// A folder of an encoder whose files a test may replace.
class EncoderSpecTest : public ::testing::Test {
 protected:
  EncoderSpecTest() { WriteConfig(""); }

  void WriteConfig(const std::string& fields) {
    temp_.Write("config.json", R"({"model_type":"bert","hidden_size":64,"num_attention_heads":4,)"
                               R"("num_hidden_layers":2,"intermediate_size":96,"vocab_size":100,)"
                               R"("max_position_embeddings":50,"layer_norm_eps":1e-12)" +
                                   (fields.empty() ? "" : "," + fields) + "}");
  }
  void WriteModules(const std::string& pooling, bool normalize = true) {
    std::string modules =
        R"([{"idx":0,"path":"","type":"sentence_transformers.models.Transformer"},)"
        R"({"idx":1,"path":"1_Pooling","type":"sentence_transformers.models.Pooling"})";
    if (normalize) {
      modules += R"(,{"idx":2,"path":"x","type":"sentence_transformers.models.Normalize"})";
    }
    temp_.Write("modules.json", modules + "]");
    temp_.Write("1_Pooling/config.json", pooling);
  }
  absl::StatusOr<EncoderSpec> Read() {
    const auto folder = ModelFolder::Open(temp_.path());
    const auto config =
        JsonObject::Parse(*folder->ReadText("config.json", JsonLimits::kBytesMax), "config.json");
    EXPECT_TRUE(config.ok()) << config.status();
    return EncoderSpecFromFolder(*folder, *config);
  }
  EncoderSpec Spec() {
    const auto spec = Read();
    EXPECT_TRUE(spec.ok()) << spec.status();
    return spec.ok() ? *spec : EncoderSpec();
  }
  std::string Refusal(absl::StatusCode code) {
    const auto spec = Read();
    EXPECT_EQ(spec.status().code(), code) << spec.status();
    return std::string(spec.status().message());
  }
  std::string Unimplemented() { return Refusal(absl::StatusCode::kUnimplemented); }

  TempFolder temp_;
};

TEST_F(EncoderSpecTest, SizesAreTheConfigs) {
  const EncoderSpec spec = Spec();
  EXPECT_EQ(spec.architecture, "bert");
  EXPECT_EQ(spec.layer_count, 2);
  EXPECT_EQ(spec.hidden_size, 64);
  EXPECT_EQ(spec.intermediate_size, 96);
  EXPECT_EQ(spec.head_count, 4);
  EXPECT_EQ(spec.vocabulary_size, 100);
  EXPECT_EQ(spec.position_count, 50);
  EXPECT_EQ(spec.token_type_count, 2);
  EXPECT_FLOAT_EQ(spec.layer_norm_epsilon, 1e-12f);
}

TEST_F(EncoderSpecTest, SizesAreBounded) {
  WriteConfig(R"("num_attention_heads":5)");
  EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument), HasSubstr("not a multiple of"));
  WriteConfig(R"("max_position_embeddings":100000)");
  EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument), HasSubstr("max_position_embeddings"));
  WriteConfig(R"("type_vocab_size":0)");
  EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument), HasSubstr("type_vocab_size"));
}

TEST_F(EncoderSpecTest, VariantsAreRefusedByName) {
  for (const char* field : {R"("is_decoder":true)", R"("add_cross_attention":true)",
                            R"("position_embedding_type":"relative_key")", R"("hidden_act":"relu")",
                            R"("quantization_config":{})"}) {
    WriteConfig(field);
    const std::string name(field + 1, std::string(field).find('"', 1) - 1);
    EXPECT_THAT(Unimplemented(), HasSubstr(name));
  }
}

TEST_F(EncoderSpecTest, WithoutModulesItIsTheMeanAsItIs) {
  EXPECT_EQ(Spec().pooling, EncoderSpec::Pooling::kMean);
  EXPECT_FALSE(Spec().normalize);
}

TEST_F(EncoderSpecTest, ModulesSayWhatBecomesOfTheTokens) {
  WriteModules(R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false})");
  EXPECT_EQ(Spec().pooling, EncoderSpec::Pooling::kCls);
  EXPECT_TRUE(Spec().normalize);
  WriteModules(R"({"pooling_mode_cls_token":false,"pooling_mode_mean_tokens":true})", false);
  EXPECT_EQ(Spec().pooling, EncoderSpec::Pooling::kMean);
  EXPECT_FALSE(Spec().normalize);
  WriteModules(R"({"pooling_mode":"cls"})");
  EXPECT_EQ(Spec().pooling, EncoderSpec::Pooling::kCls);
  WriteModules(R"({"pooling_mode":["mean"]})");
  EXPECT_EQ(Spec().pooling, EncoderSpec::Pooling::kMean);
}

TEST_F(EncoderSpecTest, OtherPoolingsAndModulesAreNamed) {
  WriteModules(R"({"pooling_mode_max_tokens":true})");
  EXPECT_THAT(Unimplemented(), HasSubstr("is max; this build runs: mean, cls"));
  WriteModules(R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true})");
  EXPECT_THAT(Unimplemented(), HasSubstr("cls and mean"));
  temp_.Write("modules.json", R"([{"path":"","type":"sentence_transformers.models.CLIPModel"}])");
  EXPECT_THAT(Unimplemented(), HasSubstr("CLIPModel"));
  temp_.Write("modules.json",
              R"([{"path":"0_T","type":"sentence_transformers.models.Transformer"}])");
  EXPECT_THAT(Unimplemented(), HasSubstr("0_T"));
}

TEST_F(EncoderSpecTest, ModulesPathsStayInTheFolder) {
  WriteModules("{}");
  temp_.Write("modules.json",
              R"([{"path":"","type":"T.Transformer"},{"path":"../..","type":"P.Pooling"}])");
  EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument), HasSubstr("../.."));
}

TEST_F(EncoderSpecTest, LongestTextIsTheStrictestOfTheLimits) {
  EXPECT_EQ(Spec().text_tokens_max, 50);
  temp_.Write("tokenizer_config.json", R"({"model_max_length":30})");
  EXPECT_EQ(Spec().text_tokens_max, 30);
  temp_.Write("tokenizer_config.json", R"({"model_max_length":1000000000000000019884624838656})");
  EXPECT_EQ(Spec().text_tokens_max, 50);
  temp_.Write("sentence_bert_config.json", R"({"max_seq_length":20,"do_lower_case":false})");
  EXPECT_EQ(Spec().text_tokens_max, 20);
  temp_.Write("sentence_bert_config.json", R"({"max_seq_length":512})");
  EXPECT_EQ(Spec().text_tokens_max, 50);
  temp_.Write("sentence_bert_config.json", R"({"do_lower_case":true})");
  EXPECT_THAT(Unimplemented(), HasSubstr("do_lower_case"));
}

}  // namespace
}  // namespace spillway
