#include "server/dialects/anthropic_dialect.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/dialects/anthropic_error.h"
#include "tests/support/fake_router.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_writer.h"

namespace spillway {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class AnthropicDialectTest : public ::testing::Test {
 protected:
  AnthropicDialectTest() {
    dialect_.AddRoutes(routes_);
    routes_.AddErrorFormat("/v1/messages", FormatAnthropicError);
  }

  void Ask(const std::string& path, const std::string& body) {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    EXPECT_FALSE(routes_.Admit(request).has_value());
    request.body = body;
    operation_ = routes_.Handle(request, writer_);
  }
  ResponseSink& Submit(const std::string& fields) {
    Ask("/v1/messages",
        R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}])" + fields +
            "}");
    return router_.LatestSink(0);
  }
  ResponseSink& Start(const std::string& fields) {
    ResponseSink& sink = Submit(fields);
    sink.OnAccepted(10);
    sink.OnStarted(4);
    return sink;
  }
  // The stream without what differs from one to the next.
  std::string Written() const {
    std::string all = writer_.AllWritten();
    const size_t id = all.find("msg_");
    if (id != std::string::npos) all.replace(id, 4 + 24, "msg_1");
    return all;
  }

  FakeRouter router_;
  std::unique_ptr<RouterShard> shard_ = router_.MakeShard([](std::function<void()>) {});
  ManualClock clock_;
  AnthropicDialect dialect_{{.router = router_, .shard = *shard_, .clock = clock_}};
  RouteTable routes_{[](HttpRequest&, TokenRule) { return std::nullopt; },
                     [](int, std::string_view, std::string_view) { return HttpResponse(); }};
  RecordingWriter writer_;
  std::unique_ptr<HttpOperation> operation_;
};

TEST_F(AnthropicDialectTest, WritesAStreamToTheByte) {
  ResponseSink& sink = Start(R"(,"stream":true)");
  EXPECT_EQ(writer_.content_type, "text/event-stream; charset=utf-8");
  sink.OnDelta(0, {.content = "", .reasoning = "hm"}, 1);
  sink.OnDelta(0, {.content = "Hi\n"}, 1);
  sink.OnBatchEnd();
  sink.OnFinished(0, FinishReason::kStop,
                  {.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 3});
  EXPECT_EQ(
      Written(),
      "event: message_start\n"
      R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message",)"
      R"("role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,)"
      R"("usage":{"input_tokens":6,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,)"
      R"("output_tokens":0}}})"
      "\n\nevent: ping\n"
      R"(data: {"type":"ping"})"
      "\n\nevent: content_block_start\n"
      R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking",)"
      R"("thinking":"","signature":""}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta",)"
      R"("thinking":"hm"}})"
      "\n\nevent: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":0})"
      "\n\nevent: content_block_start\n"
      R"(data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta",)"
      R"("text":"Hi\n"}})"
      "\n\nevent: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":1})"
      "\n\nevent: message_delta\n"
      R"(data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
      R"("usage":{"input_tokens":6,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,)"
      R"("output_tokens":3}})"
      "\n\nevent: message_stop\n"
      R"(data: {"type":"message_stop"})"
      "\n\n");
  EXPECT_TRUE(writer_.ended);
}

TEST_F(AnthropicDialectTest, AnswersWhole) {
  ResponseSink& sink = Start("");
  sink.OnDelta(0, {.content = "Hi", .reasoning = "hm"}, 2);
  sink.OnFinished(0, FinishReason::kStop,
                  {.prompt_tokens = 10, .completion_tokens = 2, .stop_string = "END"});
  const json answer = json::parse(writer_.response.value().body);
  EXPECT_THAT(answer["id"].get<std::string>(), MatchesRegex("msg_[0-9a-f]{24}"));
  EXPECT_EQ(answer["content"], json::parse(R"([{"type":"thinking","thinking":"hm","signature":""},
                                              {"type":"text","text":"Hi"}])"));
  EXPECT_EQ(answer["stop_reason"], "stop_sequence");
  EXPECT_EQ(answer["stop_sequence"], "END");
  EXPECT_EQ(answer["usage"]["input_tokens"], 10);
  EXPECT_EQ(answer["usage"]["output_tokens"], 2);
}

TEST_F(AnthropicDialectTest, CallsOfToolsAreBlocksOfTheirOwn) {
  ResponseSink& sink = Start(R"(,"stream":true)");
  sink.OnDelta(0, {.content = "Hm", .tool_calls = {{.name = "f", .arguments = "{\"a\""}}}, 1);
  sink.OnDelta(0, {.tool_calls = {{.arguments = ":1}"}, {.index = 1, .name = "g"}}}, 1);
  sink.OnFinished(0, FinishReason::kStop, {});
  const std::string all = Written();
  const size_t text = all.find(R"({"type":"text_delta","text":"Hm"})");
  const size_t call = all.find(R"("content_block":{"type":"tool_use","id":"toolu_)");
  const size_t input =
      all.find(R"("index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}})");
  const size_t more = all.find(R"("partial_json":":1}")");
  const size_t second = all.find(R"("name":"g","input":{}}})");
  EXPECT_LT(text, call);
  EXPECT_LT(call, input);
  EXPECT_LT(input, more);
  EXPECT_LT(more, second);
  EXPECT_LT(second, all.find(R"({"type":"content_block_stop","index":2})"));
  EXPECT_THAT(all, HasSubstr(R"("stop_reason":"tool_use")"));
}

TEST_F(AnthropicDialectTest, AWholeAnswersCallsHaveObjects) {
  ResponseSink& sink = Start("");
  sink.OnDelta(0,
               {.tool_calls = {{.name = "f", .arguments = R"({"a":1})"},
                               {.index = 1, .name = "g", .arguments = "{\"cut"}}},
               1);
  sink.OnFinished(0, FinishReason::kStop, {});
  const json answer = json::parse(writer_.response.value().body);
  EXPECT_EQ(answer["stop_reason"], "tool_use");
  ASSERT_EQ(answer["content"].size(), 2u);
  EXPECT_EQ(answer["content"][0]["input"], json::parse(R"({"a":1})"));
  EXPECT_EQ(answer["content"][0]["type"], "tool_use");
  EXPECT_EQ(answer["content"][1]["name"], "g");
  EXPECT_EQ(answer["content"][1]["input"], json::object());
}

TEST_F(AnthropicDialectTest, AnAnswerCutByItsLengthSaysSo) {
  Start("").OnFinished(0, FinishReason::kLength, {});
  const json answer = json::parse(writer_.response.value().body);
  EXPECT_EQ(answer["stop_reason"], "max_tokens");
  EXPECT_EQ(answer["content"], json::parse(R"([{"type":"text","text":""}])"));
}

TEST_F(AnthropicDialectTest, AnEmptyStreamHasItsTextBlockAllTheSame) {
  Start(R"(,"stream":true)").OnFinished(0, FinishReason::kStop, {});
  EXPECT_THAT(Written(), HasSubstr(R"("index":0,"content_block":{"type":"text","text":""}})"));
  EXPECT_THAT(Written(), HasSubstr(R"({"type":"content_block_stop","index":0})"));
}

TEST_F(AnthropicDialectTest, DisabledThinkingIsNotShown) {
  ResponseSink& sink = Start(R"(,"stream":true,"thinking":{"type":"disabled"})");
  sink.OnDelta(0, {.content = "a", .reasoning = "hm"}, 2);
  sink.OnBatchEnd();
  EXPECT_THAT(Written(), Not(HasSubstr("hm")));
}

TEST_F(AnthropicDialectTest, ABrokenStreamEndsWithAnErrorEvent) {
  ResponseSink& sink = Start(R"(,"stream":true)");
  sink.OnDelta(0, {.content = "a"}, 1);
  sink.OnFailed({.status = absl::UnavailableError("the worker was lost"), .reason = "worker_lost"});
  EXPECT_THAT(Written(), EndsWith("event: error\n"
                                  R"(data: {"type":"error","error":{"type":"overloaded_error",)"
                                  R"("message":"the worker was lost"}})"
                                  "\n\n"));
  EXPECT_THAT(Written(), Not(HasSubstr("message_stop")));
  EXPECT_TRUE(writer_.aborted);
  EXPECT_FALSE(writer_.ended);
}

TEST_F(AnthropicDialectTest, ErrorsHaveItsShape) {
  Submit(R"(,"stream":true)")
      .OnFailed({.status = absl::NotFoundError("no such model"), .reason = "model_not_found"});
  EXPECT_EQ(writer_.response->status, 404);
  EXPECT_EQ(writer_.response->body,
            R"({"type":"error","error":{"type":"not_found_error","message":"no such model"}})");
  Ask("/v1/messages", "{}");
  EXPECT_EQ(writer_.response->status, 400);
  EXPECT_THAT(writer_.response->body, HasSubstr(R"("type":"invalid_request_error")"));
  EXPECT_THAT(FormatAnthropicError(401, "", "x").body, HasSubstr("authentication_error"));
  EXPECT_THAT(FormatAnthropicError(429, "", "x").body, HasSubstr("rate_limit_error"));
  EXPECT_THAT(FormatAnthropicError(500, "", "x").body, HasSubstr("api_error"));
}

TEST_F(AnthropicDialectTest, PingsKeepAStreamAlive) {
  Start(R"(,"stream":true)");
  operation_->OnWake();
  const size_t before = writer_.AllWritten().size();
  operation_->OnWake();
  EXPECT_EQ(writer_.AllWritten().substr(before), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

TEST_F(AnthropicDialectTest, CountsThePromptAndTakesTheRequestBack) {
  Ask("/v1/messages/count_tokens", R"({"model":"m","messages":[{"role":"user","content":"hi"}]})");
  router_.LatestSink(0).OnAccepted(17);
  EXPECT_EQ(writer_.response->body, "{\"input_tokens\":17}");
  EXPECT_EQ(router_.cancels(), 1);
  operation_.reset();
  EXPECT_EQ(router_.cancels(), 1);
}

TEST_F(AnthropicDialectTest, ACountThatNobodyWaitsForIsCancelled) {
  Ask("/v1/messages/count_tokens", R"({"messages":[{"role":"user","content":"hi"}]})");
  operation_.reset();
  EXPECT_EQ(router_.cancels(), 1);
}

}  // namespace
}  // namespace spillway
