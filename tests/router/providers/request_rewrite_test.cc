#include "router/providers/request_rewrite.h"

#include <nlohmann/json.hpp>
#include <string>

#include "common/json_slices.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using Json = nlohmann::json;
using enum ProviderRequestKind;

RewrittenRequest Rewrite(std::string_view body,
                         const RewriteOptions& options = {.model = "qwen-plus"},
                         std::string_view provider = "bailian", ProviderRequestKind kind = kChat) {
  const auto rewritten = RewriteRequest(*FindProvider(provider), kind, body, options);
  EXPECT_TRUE(rewritten.ok()) << rewritten.status() << " " << body;
  return rewritten.ok() ? *rewritten : RewrittenRequest{};
}
std::string Body(std::string_view body, const RewriteOptions& options = {.model = "qwen-plus"}) {
  return Rewrite(body, options).body;
}

TEST(RequestRewriteTest, OnlyTheModelChangesWhereNothingElseMust) {
  const std::string image(200000, 'A');
  const std::string body =
      "{ \"messages\" : "
      "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
      "\"data:image/png;base64," +
      image +
      "\"}},{\"type\":\"input_audio\"}]}],\n"
      "\"model\" :\"mine\",\"seed\":1.0e2, \"x_new\":{\"model\":\"mine\",\"b\":1,\"a\":0.10}, "
      "\"temperature\":0.70}";
  std::string expected = body;
  expected.replace(expected.find("\"mine\""), 6, "\"qwen-plus\"");
  EXPECT_EQ(Body(body), expected);
  EXPECT_EQ(Rewrite(body, {.model = "qwen-plus"}, "generic").body, expected);
}

TEST(RequestRewriteTest, NoModelLeavesTheClientsNameWhereverItStands) {
  EXPECT_EQ(Body(R"({"model":"a","mod\u0065l":"b"})"),
            R"({"model":"qwen-plus","mod\u0065l":"qwen-plus"})");
  EXPECT_EQ(Body("{}"), R"({"model":"qwen-plus"})");
  EXPECT_EQ(Body(R"({"model":null})", {.model = "a\"b"}), R"({"model":"a\"b"})");
}

TEST(RequestRewriteTest, ParametersOfBailian) {
  const auto rest = [](const std::string& members) {
    const std::string body = Body("{\"model\":0," + members + "}");
    constexpr std::string_view kBegin = R"({"model":"qwen-plus")";
    return body.substr(kBegin.size(), body.size() - kBegin.size() - 1);
  };
  EXPECT_EQ(rest(R"("temperature":2)"), R"(,"temperature":1.99)");
  EXPECT_EQ(rest(R"("temperature":1.99)"), R"(,"temperature":1.99)");
  EXPECT_EQ(rest(R"("temperature":2e0,"temperature":0)"), R"(,"temperature":1.99,"temperature":0)");
  EXPECT_EQ(rest(R"("top_p":0)"), R"(,"top_p":0.000001)");
  EXPECT_EQ(rest(R"("top_p":1.0)"), R"(,"top_p":1.0)");
  EXPECT_EQ(rest(R"("top_k":-1)"), "");
  EXPECT_EQ(rest(R"("top_k":0)"), R"(,"top_k":0)");
  EXPECT_EQ(rest(R"("max_completion_tokens":7)"), R"(,"max_tokens":7)");
  EXPECT_EQ(rest(R"("max_completion_tokens":7,"max_tokens":8)"), R"(,"max_tokens":8)");
  EXPECT_EQ(rest(R"("max_completion_tokens":7,"max_tokens":null)"), R"(,"max_tokens":7)");
  EXPECT_EQ(rest(R"("temperature":"hot","top_p":null,"top_k":[-1])"),
            R"(,"temperature":"hot","top_p":null,"top_k":[-1])");
}

TEST(RequestRewriteTest, AStreamIsAskedForItsUsage) {
  const RewrittenRequest ours = Rewrite(R"({"model":"m","stream":true})");
  EXPECT_EQ(ours.body,
            R"({"model":"qwen-plus","stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_TRUE(ours.streams && ours.usage_is_ours && !ours.assemble);
  const RewrittenRequest theirs =
      Rewrite(R"({"stream":true,"stream_options":{"x":1,"include_usage":true}})");
  EXPECT_EQ(theirs.body,
            R"({"stream":true,"stream_options":{"x":1,"include_usage":true},"model":"qwen-plus"})");
  EXPECT_FALSE(theirs.usage_is_ours);
  EXPECT_EQ(Body(R"({"stream":true,"stream_options":{"x":1,"include_usage":false}})"), theirs.body);
  EXPECT_EQ(Body(R"({"stream":true,"stream_options":null})"),
            R"({"stream":true,"stream_options":{"include_usage":true},"model":"qwen-plus"})");
  EXPECT_FALSE(Rewrite("{}").streams);
}

TEST(RequestRewriteTest, WhatThinksIsStreamedAndPutTogether) {
  const auto assembled = [](const std::string& model, const std::string& body) {
    const RewrittenRequest request = Rewrite(body, {.model = model});
    EXPECT_EQ(request.assemble, Json::parse(request.body).value("stream", false)) << body;
    EXPECT_FALSE(request.usage_is_ours);
    return request.assemble;
  };
  EXPECT_FALSE(assembled("qwen-plus", "{}"));
  EXPECT_TRUE(assembled("qwen-plus", R"({"enable_thinking":true})"));
  EXPECT_TRUE(assembled("qwen-plus", R"({"enable_thinking":true,"stream":false})"));
  EXPECT_TRUE(assembled("qwen3-32b", "{}"));
  EXPECT_FALSE(assembled("qwen3-32b", R"({"enable_thinking":false})"));
  EXPECT_TRUE(assembled("deepseek-r1", "{}"));
  EXPECT_TRUE(assembled("qwq-plus", R"({"stream":null})"));
  EXPECT_FALSE(assembled("deepseek-v3", R"({"enable_thinking":true})"));
  EXPECT_FALSE(Rewrite(R"({"stream":true})", {.model = "deepseek-r1"}).assemble);
  EXPECT_FALSE(Rewrite(R"({"enable_thinking":true})", {.model = "x"}, "generic").assemble);
  EXPECT_FALSE(Rewrite("{}", {.model = "deepseek-r1"}, "bailian", kCompletion).assemble);
}

TEST(RequestRewriteTest, MembersThatContradictEachOtherSayOneThing) {
  EXPECT_EQ(Body(R"({"model":0,"stream":true,"stream":false})"),
            R"({"model":"qwen-plus","stream":false,"stream":false})");
  EXPECT_EQ(Json::parse(Body(R"({"enable_thinking":false,"enable_thinking":true})"))["stream"],
            true);
}

TEST(RequestRewriteTest, TheModelsOwnLimits) {
  const RewriteOptions options = {.model = "deepseek-v3.2"};
  const RewrittenRequest request = Rewrite(
      R"({"model":0,"max_tokens":100000,"enable_thinking":true,"stream":true,"thinking_budget":40000})",
      options);
  const Json body = Json::parse(request.body);
  EXPECT_EQ(body["max_tokens"], 65536);
  EXPECT_EQ(body["thinking_budget"], 32768);
  EXPECT_EQ(request.output_tokens_max, 65536);
  EXPECT_EQ(request.thinking_tokens_max, 32768);
  EXPECT_FALSE(Rewrite("{}", options).output_tokens_max.has_value());
  EXPECT_EQ(Body(R"({"model":0,"max_tokens":5.0})", options),
            R"({"model":"deepseek-v3.2","max_tokens":5.0})");
}

TEST(RequestRewriteTest, UnderABudgetEveryLimitIsSaid) {
  const RewriteOptions options = {
      .model = "deepseek-r1", .output_tokens_max = 100, .thinking_tokens_max = 50};
  for (const char* body :
       {"{}", R"({"max_tokens":null})", R"({"max_tokens":-1})", R"({"max_tokens":"9999"})",
        R"({"max_tokens":5,"max_tokens":-1})", R"({"max_tokens":101,"max_tokens":1e9})",
        R"({"max_completion_tokens":1000})", R"({"thinking_budget":51})",
        R"({"max_tokens":5,"max_completion_tokens":1000,"max_tokens":200})"}) {
    for (const char* provider : {"bailian", "generic"}) {
      const RewrittenRequest request = Rewrite(body, options, provider);
      EXPECT_EQ(request.output_tokens_max, 100) << body;
      const auto members = JsonMembers(request.body);
      ASSERT_TRUE(members.has_value());
      int limits = 0;
      for (const JsonMember& member : *members) {
        if (member.name != "max_tokens" && member.name != "max_completion_tokens") continue;
        ++limits;
        EXPECT_LE(Json::parse(member.value), 100) << request.body;
        EXPECT_GE(Json::parse(member.value), 0) << request.body;
      }
      EXPECT_GE(limits, 1) << request.body;
      if (std::string_view(provider) == "generic") continue;
      EXPECT_EQ(request.thinking_tokens_max, 50);
      EXPECT_EQ(Json::parse(request.body)["thinking_budget"], 50);
    }
  }
  EXPECT_EQ(Rewrite(R"({"max_tokens":7})", options).output_tokens_max, 7);
  EXPECT_TRUE(Body(R"({"":"x"})", options).starts_with(R"({"":"x",)"));
  EXPECT_FALSE(Json::parse(Rewrite("{}", {.model = "qwen-plus", .thinking_tokens_max = 5}).body)
                   .contains("thinking_budget"))
      << "it doesn't think";
}

TEST(RequestRewriteTest, TheExampleOfTheManual) {
  EXPECT_EQ(
      Body(R"({"model": "r1", "messages": [{}], "max_completion_tokens": 4096, "seed": 7})",
           {.model = "deepseek-r1", .output_tokens_max = 2000}),
      R"({"model": "deepseek-r1", "messages": [{}], "max_tokens": 2000, "seed": 7,"stream":true,"stream_options":{"include_usage":true}})");
}

TEST(RequestRewriteTest, ChoicesThatArePaidFor) {
  EXPECT_EQ(Rewrite("{}").choices, 1);
  EXPECT_EQ(Rewrite(R"({"n":3,"n":2,"best_of":null})").choices, 3);
  EXPECT_EQ(Rewrite(R"({"n":3,"best_of":4})").choices, 4);
}

TEST(RequestRewriteTest, EmbeddingsKeepAllButTheModel) {
  EXPECT_EQ(Rewrite(R"({"input":["a"],"model":"m","stream":7,"temperature":9})",
                    {.model = "text-embedding-v4", .output_tokens_max = 5}, "bailian", kEmbeddings)
                .body,
            R"({"input":["a"],"model":"text-embedding-v4","stream":7,"temperature":9})");
}

TEST(RequestRewriteTest, WhatCannotBeUnderstoodIsRefused) {
  for (const char* body :
       {"", " ", "[]", "7", "{", R"({"a":1,})", R"({"a":01})", "{\"a\":\"\xff\"}", "{} x",
        R"({"stream":1})", R"({"stream":"true"})", R"({"stream":true,"stream_options":[]})",
        R"({"stream":true,"stream_options":{"include_usage":1}})", R"({"enable_thinking":"no"})",
        R"({"n":0})", R"({"n":129})", R"({"n":"2"})", R"({"n":1,"n":1e9})",
        R"({"best_of":1000})"}) {
    EXPECT_EQ(RewriteRequest(*FindProvider("bailian"), kChat, body, {.model = "qwen-plus"})
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument)
        << body;
  }
}

}  // namespace
}  // namespace spillway
