#include "server/dialects/ollama_request.h"

#include <string>
#include <variant>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHi[] = R"("model":"m","messages":[{"role":"user","content":"hi"}])";

OllamaRequest Chat(const std::string& fields) {
  return std::get<OllamaRequest>(
      ParseOllamaChat(std::string("{") + kHi + fields + "}", DialectLimits()));
}
std::string ChatRefusal(const std::string& fields) {
  const auto parsed = ParseOllamaChat(std::string("{") + kHi + fields + "}", DialectLimits());
  const auto* refusal = std::get_if<OllamaRefusal>(&parsed);
  return refusal == nullptr ? "none" : refusal->message;
}
OllamaRequest Generate(const std::string& fields) {
  return std::get<OllamaRequest>(
      ParseOllamaGenerate("{\"model\":\"m\"" + fields + "}", DialectLimits()));
}
std::string GenerateRefusal(const std::string& fields) {
  const auto parsed = ParseOllamaGenerate("{\"model\":\"m\"" + fields + "}", DialectLimits());
  const auto* refusal = std::get_if<OllamaRefusal>(&parsed);
  return refusal == nullptr ? "none" : refusal->message;
}
const ChatPrompt& PromptOf(const OllamaRequest& request) {
  return std::get<ChatPrompt>(request.generate.prompt);
}

TEST(OllamaRequestTest, ChatStreamsUnlessToldOtherwise) {
  const OllamaRequest request = Chat("");
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.generate.model, "m");
  EXPECT_EQ(PromptOf(request).messages_json, R"([{"role":"user","content":"hi"}])");
  EXPECT_EQ(request.generate.new_tokens_max, 0);
  EXPECT_FALSE(request.generate.sampling.temperature.has_value());
  EXPECT_FALSE(Chat(R"(,"stream":false)").stream);
}

TEST(OllamaRequestTest, OptionsBecomeSampling) {
  const GenerateRequest request =
      Chat(R"(,"options":{"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,"seed":-7,)"
           R"("num_predict":12,"stop":["a","b"],"repeat_penalty":1.1,"presence_penalty":1,)"
           R"("frequency_penalty":-1,"num_ctx":4096,"mirostat":1,"what":{}})")
          .generate;
  EXPECT_FLOAT_EQ(*request.sampling.temperature, 0.5f);
  EXPECT_FLOAT_EQ(*request.sampling.top_p, 0.9f);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_FLOAT_EQ(*request.sampling.min_p, 0.1f);
  EXPECT_EQ(request.sampling.seed, static_cast<uint64_t>(-7));
  EXPECT_EQ(request.new_tokens_max, 12);
  EXPECT_THAT(request.stop_strings, ElementsAre("a", "b"));
  EXPECT_FLOAT_EQ(*request.sampling.repetition_penalty, 1.1f);
  EXPECT_FLOAT_EQ(request.sampling.presence_penalty, 1);
  EXPECT_FLOAT_EQ(request.sampling.frequency_penalty, -1);
}

TEST(OllamaRequestTest, OptionsBeyondOurRangesAreBroughtIntoThem) {
  const GenerateRequest request =
      Chat(R"(,"options":{"temperature":-1,"top_p":0,"top_k":-5,"min_p":7,"num_predict":-2,)"
           R"("repeat_penalty":0,"presence_penalty":1e300})")
          .generate;
  EXPECT_EQ(request.sampling.temperature, 0.0f);
  EXPECT_GT(*request.sampling.top_p, 0.0f);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_LT(*request.sampling.min_p, 1.0f);
  EXPECT_EQ(request.new_tokens_max, 0);
  EXPECT_GE(*request.sampling.repetition_penalty, 0.01f);
  EXPECT_EQ(request.sampling.presence_penalty, 2.0f);
}

TEST(OllamaRequestTest, ThinkIsForTheTemplateAndTheReader) {
  EXPECT_EQ(PromptOf(Chat("")).template_kwargs_json, "");
  EXPECT_EQ(PromptOf(Chat(R"(,"think":true)")).template_kwargs_json, R"({"enable_thinking":true})");
  const OllamaRequest off = Chat(R"(,"think":false)");
  EXPECT_EQ(PromptOf(off).template_kwargs_json, R"({"enable_thinking":false})");
  EXPECT_FALSE(off.show_thinking);
  EXPECT_EQ(PromptOf(Chat(R"(,"think":"high")")).template_kwargs_json,
            R"({"enable_thinking":true,"reasoning_effort":"high"})");
  EXPECT_THAT(ChatRefusal(R"(,"think":"much")"), HasSubstr("think must be"));
}

TEST(OllamaRequestTest, MessagesTakeOpenAisShape) {
  const auto parsed = ParseOllamaChat(
      R"({"model":"m","messages":[{"role":"system","content":"s"},)"
      R"({"role":"assistant","content":"a","thinking":"t","tool_calls":[{"function":{"b":1,"a":2}}]},)"
      R"({"role":"tool","content":"4","tool_name":"f"}]})",
      DialectLimits());
  EXPECT_EQ(PromptOf(std::get<OllamaRequest>(parsed)).messages_json,
            R"([{"role":"system","content":"s"},{"role":"assistant","content":"a",)"
            R"("reasoning_content":"t","tool_calls":[{"function":{"b":1,"a":2}}]},)"
            R"({"role":"tool","content":"4","name":"f"}])");
}

TEST(OllamaRequestTest, FormatIsJsonOrASchema) {
  EXPECT_EQ(Chat(R"(,"format":"json")").generate.constraint->kind,
            OutputConstraint::Kind::kJsonObject);
  const auto schema = Generate(R"(,"prompt":"p","format":{"type":"object"})").generate.constraint;
  EXPECT_EQ(schema->kind, OutputConstraint::Kind::kJsonSchema);
  EXPECT_EQ(schema->text, R"({"type":"object"})");
  EXPECT_FALSE(Chat("").generate.constraint.has_value());
}

TEST(OllamaRequestTest, ToolsGoToTheTemplate) {
  const std::string tools = R"([{"type":"function","function":{"name":"f","parameters":{}}}])";
  const OllamaRequest request = Chat(",\"tools\":" + tools);
  EXPECT_EQ(PromptOf(request).tools_json, tools);
  EXPECT_TRUE(request.generate.tool_use.has_value());
  EXPECT_FALSE(Chat("").generate.tool_use.has_value());
}

TEST(OllamaRequestTest, WithoutMessagesTheModelIsOnlyLoaded) {
  const auto load = std::get<OllamaRequest>(ParseOllamaChat(R"({"model":"m"})", DialectLimits()));
  EXPECT_TRUE(load.only_load);
  EXPECT_FALSE(load.unload);
  for (const char* zero : {"0", "\"0\"", "\"0s\""}) {
    const OllamaRequest unload = Generate(std::string(R"(,"keep_alive":)") + zero);
    EXPECT_TRUE(unload.only_load && unload.unload) << zero;
  }
  EXPECT_FALSE(Chat(R"(,"keep_alive":"5m")").only_load);
  EXPECT_FALSE(Generate(R"(,"keep_alive":-1)").unload);
  EXPECT_THAT(ChatRefusal(R"(,"keep_alive":[])"), HasSubstr("keep_alive"));
}

TEST(OllamaRequestTest, GenerateIsAChatUnlessRaw) {
  EXPECT_EQ(PromptOf(Generate(R"(,"prompt":"p","system":"s\n")")).messages_json,
            R"([{"role":"system","content":"s\n"},{"role":"user","content":"p"}])");
  const OllamaRequest raw = Generate(R"(,"prompt":"p","raw":true,"system":"s")");
  EXPECT_EQ(std::get<std::string>(raw.generate.prompt), "p");
}

TEST(OllamaRequestTest, WhatIsNotSupportedIsRefusedByName) {
  EXPECT_THAT(ChatRefusal(R"(,"format":"yaml")"), HasSubstr("format must be"));
  EXPECT_EQ(ChatRefusal(R"(,"format":"","tools":[])"), "none");
  EXPECT_THAT(ChatRefusal(R"(,"tools":[{"type":"function"}])"), HasSubstr("tools[0].function"));
  EXPECT_THAT(GenerateRefusal(R"(,"prompt":"p","images":["aGk="])"), HasSubstr("images"));
  EXPECT_THAT(GenerateRefusal(R"(,"prompt":"p","suffix":"s")"), HasSubstr("suffix"));
  EXPECT_THAT(GenerateRefusal(R"(,"prompt":"p","context":[1])"), HasSubstr("context"));
  EXPECT_THAT(GenerateRefusal(R"(,"prompt":"p","template":"t")"), HasSubstr("template"));
  const auto images = ParseOllamaChat(
      R"({"model":"m","messages":[{"role":"user","content":"x","images":["aGk="]}]})",
      DialectLimits());
  EXPECT_EQ(std::get<OllamaRefusal>(images).message,
            "messages[0].images: this server takes no images");
}

TEST(OllamaRequestTest, WrongTypesAreRefused) {
  EXPECT_EQ(std::get<OllamaRefusal>(ParseOllamaChat("{}", DialectLimits())).message,
            "model is required");
  EXPECT_THAT(ChatRefusal(R"(,"options":{"temperature":"hot"})"), HasSubstr("temperature"));
  EXPECT_THAT(ChatRefusal(R"(,"options":7)"), HasSubstr("options"));
  EXPECT_THAT(ChatRefusal(R"(,"messages":[{"role":"robot","content":"x"}])"), HasSubstr("role"));
  EXPECT_THAT(ChatRefusal(R"(,"messages":7)"), HasSubstr("messages"));
}

TEST(OllamaRequestTest, Embeddings) {
  const auto one =
      std::get<OllamaEmbedding>(ParseOllamaEmbed(R"({"model":"m","input":"a"})", DialectLimits()));
  EXPECT_THAT(one.embed.inputs, ElementsAre(EmbeddingInput("a")));
  EXPECT_TRUE(one.embed.truncate);
  const auto many = std::get<OllamaEmbedding>(ParseOllamaEmbed(
      R"({"model":"m","input":["a","b"],"truncate":false,"dimensions":3})", DialectLimits()));
  EXPECT_EQ(many.embed.inputs.size(), 2u);
  EXPECT_FALSE(many.embed.truncate);
  EXPECT_EQ(many.dimensions, 3);
  EXPECT_THAT(
      std::get<OllamaEmbedding>(ParseOllamaEmbed(R"({"model":"m"})", DialectLimits())).embed.inputs,
      IsEmpty());
  EXPECT_THAT(std::get<OllamaEmbedding>(
                  ParseOllamaEmbeddings(R"({"model":"m","prompt":"p"})", DialectLimits()))
                  .embed.inputs,
              ElementsAre(EmbeddingInput("p")));
}

TEST(OllamaRequestTest, ModelsOfOldClientsAreNamed) {
  EXPECT_EQ(std::get<std::string>(ParseOllamaModel(R"({"name":"m"})")), "m");
  EXPECT_EQ(std::get<std::string>(ParseOllamaModel(R"({"model":"n","name":"m"})")), "n");
  EXPECT_EQ(std::get<OllamaRefusal>(ParseOllamaModel("{}")).message, "model is required");
}

}  // namespace
}  // namespace spillway
