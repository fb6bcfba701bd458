#include "router/providers/answer_assembler.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

using Json = nlohmann::json;

// What a recorded stream becomes.
std::string Assembled(const std::string& name) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/router/providers/testdata/" + name);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  AnswerStream stream("mine", {});
  std::vector<AnswerChunk> chunks;
  EXPECT_TRUE(stream.Read(bytes, chunks).ok());
  AnswerAssembler assembler({});
  for (const AnswerChunk& chunk : chunks) EXPECT_TRUE(assembler.Add(chunk.json).ok());
  return assembler.Finish();
}

std::string Assembled(std::initializer_list<std::string_view> chunks) {
  AnswerAssembler assembler({});
  for (const std::string_view chunk : chunks) EXPECT_TRUE(assembler.Add(chunk).ok()) << chunk;
  return assembler.Finish();
}

TEST(AnswerAssemblerTest, ThinkingAndAnswer) {
  const Json answer = Json::parse(Assembled("thinking.sse"));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], "mine");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 9);
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["reasoning_content"], "Okay, the user asks：你是谁?");
  EXPECT_EQ(choice["message"]["content"], "你好！我是通义千问");
  EXPECT_FALSE(choice.contains("delta"));
}

TEST(AnswerAssemblerTest, ThinkingThatTookAllLeavesAnEmptyAnswer) {
  const Json answer = Json::parse(Assembled("thinking_took_all.sse"));
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
}

TEST(AnswerAssemblerTest, CallsAreJoinedByTheirIndex) {
  const Json message = Json::parse(Assembled("tools.sse"))["choices"][0]["message"];
  ASSERT_EQ(message["tool_calls"].size(), 1u);
  EXPECT_EQ(message["tool_calls"][0]["id"], "call_0123456789abcdef");
  EXPECT_EQ(message["tool_calls"][0]["function"]["name"], "weather");
  EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"], R"({"city": "杭州"})");
  const Json two = Json::parse(Assembled(
      {R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"a"}},{"index":1,"function":{"arguments":"x"}}]}}]})",
       R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"y"}}]}}]})",
       R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"b"}}]},"finish_reason":"tool_calls"}]})"}));
  EXPECT_EQ(two["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "ab");
  EXPECT_EQ(two["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"], "xy");
  EXPECT_FALSE(two["choices"][0]["message"].contains("content"));
}

TEST(AnswerAssemblerTest, ChoicesInTheOrderOfTheirIndex) {
  const Json choices = Json::parse(Assembled("choices.sse"))["choices"];
  ASSERT_EQ(choices.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(choices[i]["index"], i);
    EXPECT_EQ(choices[i]["message"]["content"], "你好！我是");
  }
}

TEST(AnswerAssemblerTest, FieldsThatNobodyKnowsComeThrough) {
  EXPECT_EQ(
      Assembled(
          {R"({"id":"1","new":{"a":1},"choices":[{"index":0,"delta":{"role":"assistant","content":null,"mood":"go"}}],"usage":null})",
           R"({"id":"2","choices":[{"index":0,"delta":{"role":"x","content":"a","mood":"od","score":1,"audio":{"id":"i","data":"QQ"}},"logprobs":{"content":[1]}}]})",
           R"({"id":"2","choices":[{"index":0,"delta":{"score":2,"content":"b","audio":{"id":"i","data":"=="}},"logprobs":{"content":[2]},"finish_reason":"stop"}]})",
           R"({"id":"2","choices":[],"usage":{"prompt_tokens":1}})"}),
      R"({"id":"1","new":{"a":1},"choices":[{"index":0,"message":{"role":"assistant","content":"ab","mood":"good","score":2,"audio":{"id":"i","data":"QQ=="}},"logprobs":{"content":[1,2]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}})");
}

TEST(AnswerAssemblerTest, CompletionsHaveTheirTextBesideTheIndex) {
  EXPECT_EQ(
      Assembled(
          {R"({"object":"text_completion","choices":[{"text":"a","index":0,"finish_reason":null}]})",
           R"({"object":"text_completion","choices":[{"text":"b","index":0,"finish_reason":"stop"}]})"}),
      R"({"object":"text_completion","choices":[{"text":"ab","index":0,"finish_reason":"stop"}]})");
}

TEST(AnswerAssemblerTest, WhatIsNoChunkOrTooMuchIsRefused) {
  for (const char* wrong : {"", "7", "{}", R"({"choices":7})", R"({"choices":[{}]})",
                            R"({"choices":[7]})", R"({"choices":[{"index":"0"}]})"}) {
    AnswerAssembler assembler({});
    EXPECT_EQ(assembler.Add(wrong).code(), absl::StatusCode::kDataLoss) << wrong;
  }
  AnswerAssembler assembler({.assembled_bytes_max = 30});
  EXPECT_TRUE(assembler.Add(R"({"choices":[]})").ok());
  EXPECT_TRUE(assembler.Add(R"({"choices":[]})").ok());
  EXPECT_FALSE(assembler.Add(R"({"choices":[]})").ok());
}

}  // namespace
}  // namespace spillway
