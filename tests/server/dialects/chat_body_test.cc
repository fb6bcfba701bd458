#include "server/dialects/chat_body.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(ChatBodyTest, SaysWhatTheRequestSays) {
  GenerateRequest request;
  request.prompt = ChatPrompt{.messages_json = R"([{"role":"user","content":"é"}])",
                              .tools_json = R"([{"type":"function"}])"};
  request.sampling.temperature = 0.5f;
  request.sampling.top_k = 7;
  request.sampling.seed = 18446744073709551615u;
  request.new_tokens_max = 9;
  request.stop_strings = {"a\"b", "c"};
  EXPECT_EQ(ChatBodyOf(request, /*stream=*/true),
            R"({"model":"","messages":[{"role":"user","content":"é"}],"stream":true,)"
            R"("tools":[{"type":"function"}],"temperature":0.5,"top_k":7,)"
            R"("seed":18446744073709551615,"max_tokens":9,"stop":["a\"b","c"]})");
}

TEST(ChatBodyTest, AndNothingElse) {
  GenerateRequest request;
  request.prompt = ChatPrompt{.messages_json = "[]"};
  EXPECT_EQ(ChatBodyOf(request, false), R"({"model":"","messages":[],"stream":false})");
}

TEST(ChatBodyTest, AnOutputsFormGoesWithItOrItStays) {
  GenerateRequest request;
  request.prompt = ChatPrompt{.messages_json = "[]"};
  request.constraint =
      OutputConstraint{.kind = OutputConstraint::Kind::kJsonSchema, .text = R"({"type":"array"})"};
  EXPECT_EQ(ChatBodyOf(request, false),
            R"({"model":"","messages":[],"stream":false,"response_format":{"type":"json_schema",)"
            R"("json_schema":{"name":"answer","schema":{"type":"array"}}}})");
  request.constraint->kind = OutputConstraint::Kind::kGrammar;
  EXPECT_EQ(ChatBodyOf(request, false), std::nullopt);
}

TEST(ChatBodyTest, WhatIsNoChatHasNone) {
  GenerateRequest request;
  request.prompt = "Once upon a time";
  EXPECT_EQ(ChatBodyOf(request, false), std::nullopt);
  request.prompt = std::vector<int32_t>{1};
  EXPECT_EQ(ChatBodyOf(request, false), std::nullopt);
  request.prompt = ChatPrompt{.messages_json = "[]", .add_generation_prompt = false};
  EXPECT_EQ(ChatBodyOf(request, false), std::nullopt);
}

}  // namespace
}  // namespace spillway
