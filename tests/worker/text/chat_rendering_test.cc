#include "worker/text/chat_rendering.h"

#include <fstream>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string WithCall(const std::string& arguments) {
  return R"([{"role":"user","content":"A"},{"role":"assistant","content":"","tool_calls":[)"
         R"({"id":"call00001","type":"function","function":{"arguments":)" +
         arguments +
         R"(,"name":"look"}}]},{"role":"tool","content":"B","tool_call_id":"call00001"}])";
}

TEST(WithArgumentObjectsTest, AStringBecomesTheObjectThatItSpells) {
  EXPECT_EQ(WithArgumentObjects(WithCall(R"("{\"z\": 1.50, \"a\":\"\\\"\"}")")),
            WithCall(R"({"z": 1.50, "a":"\""})"));
  EXPECT_EQ(WithArgumentObjects(WithCall(R"("")")), WithCall("{}"));
  EXPECT_EQ(WithArgumentObjects(WithCall(R"(" ")")), WithCall("{}"));
}

TEST(WithArgumentObjectsTest, AllCallsOfAllMessages) {
  const auto call = [](const std::string& arguments) {
    return R"({"function":{"arguments":)" + arguments + "}}";
  };
  const auto messages = [&](const std::string& a, const std::string& b, const std::string& c) {
    return R"([{"tool_calls":[)" + call(a) + "," + call(b) + R"(]},{"tool_calls":[)" + call(c) +
           "]}]";
  };
  EXPECT_EQ(WithArgumentObjects(messages(R"("{\"a\":1}")", R"("no")", R"("{\"b\":2}")")),
            messages(R"({"a":1})", R"("no")", R"({"b":2})"));
}

TEST(WithArgumentObjectsTest, WhatSpellsNoObjectStays) {
  for (const char* arguments : {R"({"a":1})", R"("[1]")", R"("{\"a\":")", R"("{} {}")", "null", "7",
                                R"("{\"\ud800\":1}")"}) {
    EXPECT_EQ(WithArgumentObjects(WithCall(arguments)), std::nullopt) << arguments;
  }
  for (const char* messages :
       {"", "[", R"({"tool_calls")", R"([{"tool_calls":[{"function":)", R"(["tool_calls"])",
        R"([{"tool_calls":{"function":{"arguments":"{}"}}}])",
        R"([{"role":"user","content":"{\"tool_calls\":[{\"arguments\":\"{}\"}]}"}])"}) {
    EXPECT_EQ(WithArgumentObjects(messages), std::nullopt) << messages;
  }
}

std::string Rendered(const std::string& name, const std::string& arguments) {
  const std::string path =
      SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/templates/" + name + ".jinja";
  std::ifstream file(path);
  std::stringstream source;
  source << file.rdbuf();
  const auto parsed = ChatTemplate::Parse(source.str(), "<s>", "</s>");
  EXPECT_TRUE(parsed.ok()) << path << parsed.status();
  ChatInput input;
  input.messages_json = WithCall(arguments);
  const auto prompt = RenderChat(**parsed, input);
  EXPECT_TRUE(prompt.ok()) << prompt.status();
  return prompt.ok() ? prompt->text : "";
}

constexpr char kArguments[] = R"("{\"where\": \"\\\"here\\\"\", \"at\": 2}")";

TEST(RenderChatTest, TemplatesThatWriteArgumentsAsJsonGetAnObject) {
  const std::string object = R"({"where": "\"here\"", "at": 2})";
  EXPECT_THAT(Rendered("qwen2.5", kArguments), HasSubstr(R"("arguments": )" + object + "}\n"));
  EXPECT_THAT(Rendered("qwen3", kArguments), HasSubstr(R"("arguments": )" + object + "}\n"));
  EXPECT_THAT(Rendered("llama3-style", kArguments), HasSubstr(R"("parameters": )" + object + "}"));
}

TEST(RenderChatTest, TemplatesThatGoThroughArgumentsGetAnObject) {
  EXPECT_THAT(Rendered("qwen3-coder", kArguments),
              HasSubstr("<parameter=where>\n\"here\"\n</parameter>\n<parameter=at>\n2\n"));
}

TEST(RenderChatTest, TemplatesThatFailOnObjectsGetTheString) {
  EXPECT_THAT(Rendered("functionary-3.2", kArguments), HasSubstr(R"(look
{"where": "\"here\"", "at": 2})"));
}

TEST(RenderChatTest, OfTwoErrorsTheFirstIsTold) {
  const auto parsed = ChatTemplate::Parse(
      "{{ raise_exception('string' if messages[1].tool_calls[0].function.arguments is string else "
      "'object') }}",
      "", "");
  ASSERT_TRUE(parsed.ok());
  ChatInput input;
  input.messages_json = WithCall(kArguments);
  EXPECT_THAT(std::string(RenderChat(**parsed, input).status().message()), HasSubstr("object"));
}

}  // namespace
}  // namespace spillway
