#include "worker/model/hf_text_files.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// "a", "b", "ab", "<s>", "</s>".
constexpr const char* kTokenizer =
    R"({"added_tokens":[{"id":3,"content":"<s>","special":true},)"
    R"({"id":4,"content":"</s>","special":true}],)"
    R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})";

class HfTextFilesTest : public ::testing::Test {
 protected:
  HfTextFilesTest() {
    temp_.Write("tokenizer.json", kTokenizer);
    temp_.Write("tokenizer_config.json", R"({"bos_token":"<s>","eos_token":"</s>"})");
    temp_.Write("config.json", "{}");
  }

  ModelFolder Folder() { return *ModelFolder::Open(temp_.path()); }
  TokenizerSpec Tokenizer(int32_t vocabulary_size = 5) {
    const auto spec = ReadHfTokenizer(Folder(), vocabulary_size);
    EXPECT_TRUE(spec.ok()) << spec.status();
    return spec.ok() ? *spec : TokenizerSpec();
  }
  std::string TokenizerRefusal(int32_t vocabulary_size = 5) {
    return std::string(ReadHfTokenizer(Folder(), vocabulary_size).status().message());
  }
  ChatTemplateFiles Templates() {
    const auto files = ReadHfChatTemplates(Folder());
    EXPECT_TRUE(files.ok()) << files.status();
    return files.ok() ? *files : ChatTemplateFiles();
  }
  std::string TemplatesRefusal() {
    return std::string(ReadHfChatTemplates(Folder()).status().message());
  }
  SamplingParams Defaults(const std::string& json) {
    temp_.Write("generation_config.json", json);
    const auto params = ReadHfSamplingDefaults(Folder());
    EXPECT_TRUE(params.ok()) << params.status();
    return params.ok() ? *params : SamplingParams();
  }
  std::string DefaultsRefusal(const std::string& json) {
    temp_.Write("generation_config.json", json);
    return std::string(ReadHfSamplingDefaults(Folder()).status().message());
  }

  TempFolder temp_;
};

TEST_F(HfTextFilesTest, TokenizerIsThatOfTheFiles) {
  const TokenizerSpec spec = Tokenizer();
  EXPECT_THAT(spec.tokens, ElementsAre("a", "b", "ab", "<s>", "</s>"));
  EXPECT_EQ(spec.bos, 3);
  EXPECT_EQ(spec.eos, 4);
  EXPECT_THAT(spec.end_of_text, ElementsAre(4));
}

TEST_F(HfTextFilesTest, TokenizerGrowsToTheModelsVocabulary) {
  const TokenizerSpec spec = Tokenizer(8);
  ASSERT_EQ(spec.tokens.size(), 8u);
  ASSERT_EQ(spec.types.size(), 8u);
  EXPECT_EQ(spec.types[7], TokenizerSpec::TokenType::kUnused);
  EXPECT_EQ(spec.tokens[7], "");
}

TEST_F(HfTextFilesTest, TokensThatTheModelLacksAreLeftOutIfNothingNeedsThem) {
  temp_.Write("tokenizer.json", R"({"added_tokens":[{"id":3,"content":"<image>","special":true}],)"
                                R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},)"
                                R"("merges":["a b"]}})");
  temp_.Write("tokenizer_config.json", "{}");
  EXPECT_THAT(Tokenizer(3).tokens, ElementsAre("a", "b", "ab"));
  EXPECT_THAT(Tokenizer(3).added, IsEmpty());
  EXPECT_THAT(TokenizerRefusal(2), HasSubstr("a merge needs token 2 of 4; the model has 2"));
  temp_.Write("tokenizer_config.json", R"({"eos_token":"<image>"})");
  EXPECT_THAT(TokenizerRefusal(3), HasSubstr("the end of the text needs token 3"));
}

TEST_F(HfTextFilesTest, MissingTokenizerSaysWhatIsThereInstead) {
  TempFolder empty;
  const auto refusal = [&] {
    const absl::Status status = ReadHfTokenizer(*ModelFolder::Open(empty.path()), 5).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    return std::string(status.message());
  };
  EXPECT_EQ(refusal(), "the folder has no tokenizer.json");
  empty.Write("vocab.txt", "");
  EXPECT_THAT(refusal(), HasSubstr("vocabulary files alone are not read"));
  empty.Write("tokenizer.model", "");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.model alone is not read"));
}

TEST_F(HfTextFilesTest, BadSettingsNameTheirFile) {
  temp_.Write("tokenizer_config.json", "{");
  EXPECT_THAT(TokenizerRefusal(), HasSubstr("tokenizer_config.json: not JSON"));
  EXPECT_THAT(TemplatesRefusal(), HasSubstr("tokenizer_config.json: not JSON"));
  temp_.Write("tokenizer_config.json", "{}");
  temp_.Write("special_tokens_map.json", "[]");
  EXPECT_THAT(TokenizerRefusal(), HasSubstr("special_tokens_map.json: not an object"));
}

TEST_F(HfTextFilesTest, SpecialTokensMapFillsWhatTheConfigLacks) {
  temp_.Write("tokenizer_config.json", R"({"eos_token":null})");
  temp_.Write("special_tokens_map.json",
              R"({"bos_token":"<s>","eos_token":{"content":"</s>","lstrip":false}})");
  EXPECT_EQ(Tokenizer().bos, 3);
  EXPECT_EQ(Tokenizer().eos, 4);
  temp_.Write("tokenizer_config.json", R"({"bos_token":"</s>"})");
  EXPECT_EQ(Tokenizer().bos, 4);
}

TEST_F(HfTextFilesTest, GenerationConfigNamesFurtherEnds) {
  temp_.Write("generation_config.json", R"({"eos_token_id":[2,1,2]})");
  EXPECT_THAT(Tokenizer().end_of_text, ElementsAre(1, 2, 4));
  temp_.Write("generation_config.json", R"({"eos_token_id":0})");
  EXPECT_THAT(Tokenizer().end_of_text, ElementsAre(0, 4));
  EXPECT_EQ(Tokenizer().eos, 4);
  temp_.Write("generation_config.json", R"({"eos_token_id":5})");
  EXPECT_THAT(TokenizerRefusal(),
              HasSubstr("generation_config.json: eos_token_id is 5, beyond 0 to 4"));
  temp_.Write("generation_config.json", R"({"eos_token_id":"</s>"})");
  EXPECT_THAT(TokenizerRefusal(), HasSubstr("not an integer"));
}

TEST_F(HfTextFilesTest, ConfigNamesTheEndWhereNothingElseDoes) {
  temp_.Write("tokenizer_config.json", "{}");
  temp_.Write("generation_config.json", R"({"eos_token_id":null})");
  temp_.Write("config.json", R"({"eos_token_id":1})");
  EXPECT_THAT(Tokenizer().end_of_text, ::testing::Contains(1));
  EXPECT_EQ(Tokenizer().eos, 1);
}

TEST_F(HfTextFilesTest, TemplateStandsInTheConfig) {
  EXPECT_THAT(Templates().templates, IsEmpty());
  temp_.Write("tokenizer_config.json", R"({"chat_template":"{{ messages }}"})");
  ASSERT_EQ(Templates().templates.size(), 1u);
  EXPECT_EQ(Templates().templates[0].name, "default");
  EXPECT_EQ(Templates().templates[0].source, "{{ messages }}");
}

TEST_F(HfTextFilesTest, SeveralTemplatesHaveNamesAndTheDefaultIsFirst) {
  temp_.Write("tokenizer_config.json", R"({"chat_template":[{"name":"tool_use","template":"t"},)"
                                       R"({"name":"default","template":"d"}]})");
  const ChatTemplateFiles files = Templates();
  ASSERT_EQ(files.templates.size(), 2u);
  EXPECT_EQ(files.templates[0].source, "d");
  EXPECT_EQ(files.templates[1].name, "tool_use");
  temp_.Write("tokenizer_config.json", R"({"chat_template":[{"name":"x"}]})");
  EXPECT_THAT(TemplatesRefusal(), HasSubstr("chat_template[0].template is missing"));
  temp_.Write("tokenizer_config.json", R"({"chat_template":7})");
  EXPECT_THAT(TemplatesRefusal(), HasSubstr("chat_template is 7"));
}

TEST_F(HfTextFilesTest, TemplateFilesGoBeforeTheConfig) {
  temp_.Write("tokenizer_config.json", R"({"chat_template":"old"})");
  temp_.Write("chat_template.jinja", "new");
  temp_.Write("additional_chat_templates/rag.jinja", "r");
  const ChatTemplateFiles files = Templates();
  ASSERT_EQ(files.templates.size(), 2u);
  EXPECT_EQ(files.templates[0].source, "new");
  EXPECT_EQ(files.templates[1].name, "rag");
  EXPECT_EQ(files.templates[1].source, "r");
}

TEST_F(HfTextFilesTest, TemplatesAreBounded) {
  temp_.Write("chat_template.jinja", std::string((1 << 20) + 1, 'x'));
  EXPECT_THAT(TemplatesRefusal(), HasSubstr("beyond the limit of 1048576"));
  temp_.Write("chat_template.jinja", "");
  for (int i = 0; i < 64; ++i) {
    temp_.Write("additional_chat_templates/" + std::to_string(i) + ".jinja", "");
  }
  EXPECT_THAT(TemplatesRefusal(), HasSubstr("number 65"));
}

TEST_F(HfTextFilesTest, TemplatesKnowTheSpecialTokens) {
  temp_.Write("tokenizer_config.json",
              R"({"bos_token":"<s>","eos_token":{"content":"</s>"},"pad_token":null,)"
              R"("image_token":"<i>","add_bos_token":true})");
  std::vector<std::string> tokens;
  for (const TemplateToken& token : Templates().tokens) {
    tokens.push_back(token.variable + "=" + token.text);
  }
  EXPECT_THAT(tokens, ::testing::UnorderedElementsAre("bos_token=<s>", "eos_token=</s>",
                                                      "image_token=<i>"));
}

TEST_F(HfTextFilesTest, SamplingDefaultsAreTheGenerationConfigs) {
  const SamplingParams none = *ReadHfSamplingDefaults(Folder());
  EXPECT_EQ(none.temperature, 1.0f);
  EXPECT_EQ(none.top_k, 0);
  const SamplingParams params =
      Defaults(R"({"do_sample":true,"temperature":0.6,"top_p":0.95,"top_k":20,"min_p":0.1,)"
               R"("repetition_penalty":1.05,"max_new_tokens":5})");
  EXPECT_EQ(params.temperature, 0.6f);
  EXPECT_EQ(params.top_p, 0.95f);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_EQ(params.min_p, 0.1f);
  EXPECT_EQ(params.repetition_penalty, 1.05f);
  EXPECT_EQ(Defaults(R"({"temperature":null,"top_k":-1})").temperature, 1.0f);
  EXPECT_EQ(Defaults(R"({"temperature":0})").temperature, 0.0f);
}

TEST_F(HfTextFilesTest, SamplingDefaultsAreWithinARequestsRanges) {
  EXPECT_THAT(DefaultsRefusal(R"({"temperature":-1})"),
              HasSubstr("generation_config.json: temperature is -1, beyond 0 to 100"));
  EXPECT_THAT(DefaultsRefusal(R"({"top_p":0})"), HasSubstr("top_p"));
  EXPECT_THAT(DefaultsRefusal(R"({"top_p":1.5})"), HasSubstr("top_p"));
  EXPECT_THAT(DefaultsRefusal(R"({"min_p":1})"), HasSubstr("min_p"));
  EXPECT_THAT(DefaultsRefusal(R"({"top_k":1.5})"), HasSubstr("top_k"));
  EXPECT_THAT(DefaultsRefusal(R"({"repetition_penalty":0})"), HasSubstr("repetition_penalty"));
}

}  // namespace
}  // namespace spillway
