#include "server/dialects/anthropic_request.h"

#include <string>
#include <variant>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kHi[] = R"("max_tokens":5,"messages":[{"role":"user","content":"hi"}])";

AnthropicRequest Parsed(const std::string& body) {
  return std::get<AnthropicRequest>(ParseAnthropicMessages(body, DialectLimits()));
}
std::string Refusal(const std::string& body) {
  const auto parsed = ParseAnthropicMessages(body, DialectLimits());
  const auto* refusal = std::get_if<AnthropicRefusal>(&parsed);
  return refusal == nullptr ? "none" : refusal->message;
}
std::string With(const std::string& fields) { return std::string("{") + kHi + fields + "}"; }
const ChatPrompt& PromptOf(const AnthropicRequest& request) {
  return std::get<ChatPrompt>(request.generate.prompt);
}

TEST(AnthropicRequestTest, ReadsWhatItIsAsked) {
  const AnthropicRequest request =
      Parsed(With(R"(,"model":"m","stream":true,"temperature":0.5,"top_p":0.9,"top_k":7,)"
                  R"("stop_sequences":["a","b"],"metadata":{"user_id":"u"},"tools":[],)"
                  R"("service_tier":"auto")"));
  EXPECT_EQ(request.generate.model, "m");
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.generate.new_tokens_max, 5);
  EXPECT_EQ(request.generate.sampling.temperature, 0.5f);
  EXPECT_EQ(request.generate.sampling.top_p, 0.9f);
  EXPECT_EQ(request.generate.sampling.top_k, 7);
  EXPECT_THAT(request.generate.stop_strings, ElementsAre("a", "b"));
  EXPECT_EQ(PromptOf(request).messages_json, R"([{"role":"user","content":"hi"}])");
}

TEST(AnthropicRequestTest, SystemIsAStringOrBlocks) {
  constexpr char kExpected[] =
      R"([{"role":"system","content":"be brief"},{"role":"user","content":"hi"}])";
  EXPECT_EQ(PromptOf(Parsed(With(R"(,"system":"be brief")"))).messages_json, kExpected);
  EXPECT_EQ(PromptOf(Parsed(With(R"(,"system":[{"type":"text","text":"be ","cache_control":{}},)"
                                 R"({"type":"text","text":"brief"}])")))
                .messages_json,
            kExpected);
  EXPECT_EQ(Refusal(With(R"(,"system":7)")),
            "system: must be a string or an array of blocks, not 7");
}

TEST(AnthropicRequestTest, BlocksGoToTheirChannels) {
  const AnthropicRequest request =
      Parsed(R"({"max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"a"},)"
             R"({"type":"text","text":"b"}]},{"role":"assistant","content":[{"type":"thinking",)"
             R"("thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"x"},)"
             R"({"type":"text","text":"c"}]},{"role":"user","content":"d"}]})");
  EXPECT_EQ(PromptOf(request).messages_json,
            R"([{"role":"user","content":"ab"},{"role":"assistant","content":"c",)"
            R"("reasoning_content":"t"},{"role":"user","content":"d"}])");
}

TEST(AnthropicRequestTest, ThinkingIsForTheTemplateAndTheReader) {
  EXPECT_EQ(PromptOf(Parsed(With(""))).template_kwargs_json, "");
  EXPECT_EQ(PromptOf(Parsed(With(R"(,"thinking":{"type":"enabled","budget_tokens":1024})")))
                .template_kwargs_json,
            R"({"enable_thinking":true})");
  const AnthropicRequest off = Parsed(With(R"(,"thinking":{"type":"disabled"})"));
  EXPECT_EQ(PromptOf(off).template_kwargs_json, R"({"enable_thinking":false})");
  EXPECT_FALSE(off.show_thinking);
  EXPECT_THAT(Refusal(With(R"(,"thinking":true)")), HasSubstr("thinking.type"));
}

TEST(AnthropicRequestTest, ToolsAndTheirCallsTakeOpenAisShape) {
  const AnthropicRequest request = Parsed(
      R"({"max_tokens":5,"tools":[{"name":"f","description":"d","input_schema":{"type":"object",)"
      R"("properties":{"b":{},"a":{}}}}],"tool_choice":{"type":"auto",)"
      R"("disable_parallel_tool_use":true},"messages":[{"role":"user","content":"q"},)"
      R"({"role":"assistant","content":[{"type":"text","text":"t"},{"type":"tool_use",)"
      R"("id":"toolu_1","name":"f","input":{"b":1,"a":"\u00e9"}}]},{"role":"user","content":[)"
      R"({"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"4"}]},)"
      R"({"type":"tool_result","tool_use_id":"2","content":"5"},{"type":"text","text":"and?"}]}]})");
  EXPECT_EQ(PromptOf(request).tools_json,
            R"([{"type":"function","function":{"name":"f","description":"d","parameters":)"
            R"({"type":"object","properties":{"b":{},"a":{}}}}}])");
  EXPECT_EQ(
      PromptOf(request).messages_json,
      R"([{"role":"user","content":"q"},{"role":"assistant","content":"t","tool_calls":)"
      R"([{"type":"function","id":"1","function":{"name":"f",)"
      R"("arguments":"{\"b\":1,\"a\":\"\\u00e9\"}"}}]},)"
      R"({"role":"tool","tool_call_id":"1","content":"4"},)"
      R"({"role":"tool","tool_call_id":"2","content":"5"},{"role":"user","content":"and?"}])");
  ASSERT_TRUE(request.generate.tool_use.has_value());
  EXPECT_TRUE(request.generate.tool_use->one_call);
  const AnthropicRequest none =
      Parsed(With(R"(,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"none"})"));
  EXPECT_EQ(PromptOf(none).tools_json, "");
  EXPECT_FALSE(none.generate.tool_use.has_value());
}

TEST(AnthropicRequestTest, ResultsAloneAreNoMessageOfTheUser) {
  EXPECT_EQ(PromptOf(Parsed(R"({"max_tokens":5,"messages":[{"role":"user","content":"q"},)"
                            R"({"role":"user","content":[{"type":"tool_result",)"
                            R"("tool_use_id":"1"}]}]})"))
                .messages_json,
            R"([{"role":"user","content":"q"},{"role":"tool","tool_call_id":"1","content":""}])");
}

TEST(AnthropicRequestTest, NamesWhatIsUnfit) {
  EXPECT_THAT(Refusal("[]"), HasSubstr("JSON object"));
  EXPECT_THAT(Refusal(R"({"max_tokens":5})"), HasSubstr("messages: must be"));
  EXPECT_THAT(Refusal(R"({"messages":[{"role":"user","content":"hi"}]})"),
              HasSubstr("max_tokens: is missing"));
  EXPECT_THAT(Refusal(With(R"(,"tools":[{"name":"f"}])")), HasSubstr("input_schema"));
  EXPECT_THAT(Refusal(With(R"(,"temperature":3)")), HasSubstr("temperature"));
  EXPECT_THAT(Refusal(R"({"max_tokens":5,"messages":[{"role":"user","content":[)"
                      R"({"type":"image","source":{}}]}]})"),
              HasSubstr("messages.0.content.0: is of type \"image\""));
  EXPECT_THAT(Refusal(With(R"(,"tools":[{"type":"web_search_20250305","name":"w"}])")),
              HasSubstr("tools.0.type"));
  EXPECT_THAT(Refusal(With(R"(,"tools":[{"name":"f","input_schema":1}])")),
              HasSubstr("tools.0.input_schema"));
  EXPECT_THAT(Refusal(R"({"max_tokens":5,"messages":[{"role":"user","content":[)"
                      R"({"type":"tool_result"}]}]})"),
              HasSubstr("tool_use_id"));
  EXPECT_THAT(Refusal(R"({"max_tokens":5,"messages":[{"role":"user","content":"a"},)"
                      R"({"role":"assistant","content":"{"}]})"),
              HasSubstr("the last is the assistant's"));
  EXPECT_THAT(Refusal(R"({"max_tokens":5,"messages":[{"role":"robot","content":"a"}]})"),
              HasSubstr("messages.0.role"));
  EXPECT_THAT(Refusal(R"({"max_tokens":5,"messages":["a"]})"), HasSubstr("messages.0.role"));
}

TEST(AnthropicRequestTest, CountingNeedsNoLengthAndGeneratesNothing) {
  const auto parsed = ParseAnthropicCount(
      R"({"model":"m","messages":[{"role":"user","content":"hi"}]})", DialectLimits());
  EXPECT_TRUE(std::get<AnthropicRequest>(parsed).generate.prompt_only);
}

}  // namespace
}  // namespace spillway
