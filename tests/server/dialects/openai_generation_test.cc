#include "server/dialects/openai_generation.h"

#include <limits>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_router.h"
#include "tests/support/recording_writer.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHead[] =
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
    "\"model\":\"m\",\"system_fingerprint\":\"fp\",\"choices\":[";

class OpenAiGenerationTest : public ::testing::Test {
 protected:
  OpenAiGenerationTest() : shard_(router_.MakeShard([](std::function<void()>) {})) {}

  ResponseSink& Start(bool stream, int choices = 1, bool include_usage = false,
                      OpenAiEndpoint endpoint = OpenAiEndpoint::kChat) {
    OpenAiRequest request;
    request.stream = stream;
    request.include_usage = include_usage;
    request.generate.choices = choices;
    request.generate.sampling.top_logprobs = top_logprobs_;
    request.include_reasoning = include_reasoning_;
    const OpenAiIdentity identity = {endpoint, "chatcmpl-1", 1'700'000'000, "m", "fp"};
    generation_ = std::make_unique<OpenAiGeneration>(identity, std::move(request), timings_,
                                                     *shard_, writer_);
    return router_.LatestSink(0);
  }

  // A whole token with one alternative to it.
  static TokenLogprobs Scored(std::string text, uint64_t begin) {
    return {.token = {.token_id = 1, .logprob = -0.5f, .text = std::move(text)},
            .rank = 1,
            .top = {{.token_id = 2, .logprob = -0.25f, .text = "x"}},
            .content_begin = begin};
  }
  ResponseSink& StartScored(bool stream, OpenAiEndpoint endpoint) {
    top_logprobs_ = 1;
    ResponseSink& generation = Start(stream, 1, false, endpoint);
    generation.OnAccepted(10);
    generation.OnStarted(0);
    return generation;
  }

  // A request of three prompts with two choices each. The sinks are those of its prompts.
  std::vector<ResponseSink*> StartThree(bool stream) {
    OpenAiRequest request;
    request.stream = stream;
    request.include_usage = true;
    request.generate.prompt = "a";
    request.generate.choices = 2;
    request.further_prompts = {"b", "c"};
    generation_ = std::make_unique<OpenAiGeneration>(
        OpenAiIdentity{OpenAiEndpoint::kCompletions, "cmpl-1", 1'700'000'000, "m", "fp"},
        std::move(request), timings_, *shard_, writer_);
    return router_.Sinks(0);
  }

  static Usage TokenUsage(int32_t completion) {
    return {.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = completion};
  }

  int32_t top_logprobs_ = -1;
  bool include_reasoning_ = true;
  StreamTimings timings_;
  FakeRouter router_;
  std::unique_ptr<RouterShard> shard_;
  RecordingWriter writer_;
  std::unique_ptr<OpenAiGeneration> generation_;
};

TEST_F(OpenAiGenerationTest, WritesAStreamToTheByte) {
  ResponseSink& generation = Start(/*stream=*/true);
  generation.OnAccepted(10);
  EXPECT_FALSE(writer_.began);
  generation.OnStarted(4);
  EXPECT_TRUE(writer_.began);
  EXPECT_EQ(writer_.content_type, "text/event-stream; charset=utf-8");
  generation.OnBatchEnd();
  generation.OnDelta(0, {"Hel"}, 1);
  generation.OnDelta(0, {"lo\n"}, 1);
  generation.OnBatchEnd();
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(2));
  const std::string head = kHead;
  EXPECT_THAT(writer_.writes,
              ElementsAre(head + "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                                 "\"logprobs\":null,\"finish_reason\":null}]}\n\n",
                          head +
                              "{\"index\":0,\"delta\":{\"content\":\"Hel\"},\"logprobs\":null,"
                              "\"finish_reason\":null}]}\n\n" +
                              head +
                              "{\"index\":0,\"delta\":{\"content\":\"lo\\n\"},\"logprobs\":null,"
                              "\"finish_reason\":null}]}\n\n",
                          head + "{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":null,"
                                 "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"));
  EXPECT_TRUE(writer_.ended);
}

TEST_F(OpenAiGenerationTest, UsageChunkOnlyWhenAsked) {
  ResponseSink& generation = Start(/*stream=*/true, 1, /*include_usage=*/true);
  generation.OnAccepted(10);
  generation.OnStarted(4);
  generation.OnDelta(0, {"a"}, 1);
  generation.OnFinished(0, FinishReason::kLength, TokenUsage(3));
  const std::string all = writer_.AllWritten();
  EXPECT_THAT(all, HasSubstr("\"content\":\"a\"},\"logprobs\":null,\"finish_reason\":null}],"
                             "\"usage\":null}\n\n"));
  EXPECT_THAT(all, HasSubstr("\"finish_reason\":\"length\"}],\"usage\":null}\n\n"));
  EXPECT_THAT(all, EndsWith(std::string(kHead) +
                            "],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3,"
                            "\"total_tokens\":13,\"prompt_tokens_details\":{\"cached_tokens\":4},"
                            "\"completion_tokens_details\":{\"reasoning_tokens\":0}}}\n\n"
                            "data: [DONE]\n\n"));
}

TEST_F(OpenAiGenerationTest, ChoicesInterleaveByIndex) {
  ResponseSink& generation = Start(/*stream=*/true, /*choices=*/2);
  generation.OnAccepted(10);
  generation.OnStarted(0);
  generation.OnDelta(1, {"b"}, 1);
  generation.OnDelta(0, {"a"}, 1);
  generation.OnFinished(1, FinishReason::kStop, TokenUsage(1));
  EXPECT_FALSE(writer_.ended);
  generation.OnBatchEnd();
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(1));
  EXPECT_TRUE(writer_.ended);
  const std::string all = writer_.AllWritten();
  EXPECT_LT(all.find("{\"index\":1,\"delta\":{\"content\":\"b\"}"),
            all.find("{\"index\":0,\"delta\":{\"content\":\"a\"}"));
}

TEST_F(OpenAiGenerationTest, WholeAnswerToTheByte) {
  ResponseSink& generation = Start(/*stream=*/false, /*choices=*/2);
  generation.OnAccepted(10);
  generation.OnStarted(4);
  generation.OnDelta(0, {"He\""}, 1);
  generation.OnDelta(1, {"x"}, 1);
  generation.OnDelta(0, {"llo"}, 1);
  generation.OnBatchEnd();
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(2));
  generation.OnFinished(1, FinishReason::kLength, TokenUsage(1));
  ASSERT_TRUE(writer_.response.has_value());
  EXPECT_EQ(writer_.response->status, 200);
  EXPECT_EQ(
      writer_.response->body,
      "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":"
      "\"m\","
      "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"He\\\"llo\","
      "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"},{\"index\":1,\"message\":{"
      "\"role\":\"assistant\",\"content\":\"x\",\"refusal\":null},\"logprobs\":null,"
      "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3,"
      "\"total_tokens\":13,\"prompt_tokens_details\":{\"cached_tokens\":4},"
      "\"completion_tokens_details\":{\"reasoning_tokens\":0}},\"system_fingerprint\":\"fp\"}");
}

TEST_F(OpenAiGenerationTest, AStreamTellsReasoningApartAndEachDeltaHasContent) {
  ResponseSink& generation = Start(/*stream=*/true);
  generation.OnAccepted(10);
  generation.OnStarted(4);
  generation.OnBatchEnd();
  generation.OnDelta(0, {.reasoning = "hm\n"}, 1);
  generation.OnDelta(0, {.content = "yes", .reasoning = "so"}, 1);
  generation.OnBatchEnd();
  const std::string head = kHead;
  const std::string tail = "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
  EXPECT_EQ(writer_.writes.at(1),
            head + "{\"index\":0,\"delta\":{\"content\":\"\",\"reasoning_content\":\"hm\\n" + tail +
                head + "{\"index\":0,\"delta\":{\"content\":\"\",\"reasoning_content\":\"so" +
                tail + head + "{\"index\":0,\"delta\":{\"content\":\"yes" + tail);
}

TEST_F(OpenAiGenerationTest, AWholeAnswerTellsReasoningApart) {
  ResponseSink& generation = Start(/*stream=*/false);
  generation.OnAccepted(10);
  generation.OnStarted(4);
  generation.OnDelta(0, {.reasoning = "h\""}, 2);
  generation.OnDelta(0, {.content = "yes", .reasoning = "m"}, 2);
  generation.OnFinished(0, FinishReason::kStop,
                        {.prompt_tokens = 10, .completion_tokens = 4, .reasoning_tokens = 3});
  EXPECT_THAT(
      writer_.response->body,
      HasSubstr("{\"role\":\"assistant\",\"content\":\"yes\",\"reasoning_content\":\"h\\\"m\","
                "\"refusal\":null}"));
  EXPECT_THAT(writer_.response->body,
              HasSubstr("\"completion_tokens_details\":{\"reasoning_tokens\":3}"));
}

TEST_F(OpenAiGenerationTest, AStreamTellsACallsNameFirstAndItsArgumentsInPieces) {
  ResponseSink& generation = Start(/*stream=*/true);
  generation.OnAccepted(10);
  generation.OnStarted(4);
  generation.OnBatchEnd();
  generation.OnDelta(0, {.tool_calls = {{.name = "f\"", .arguments = "{"}}}, 1);
  generation.OnDelta(0, {.tool_calls = {{.arguments = "}"}, {.index = 1, .name = "g"}}}, 1);
  generation.OnBatchEnd();
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(2));
  const std::string first = ToolCallId("chatcmpl-1", 0, 0);
  const std::string head =
      std::string(kHead) + R"({"index":0,"delta":{"content":"","tool_calls":[{"index":)";
  const std::string tail = "\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
  EXPECT_EQ(writer_.writes.at(1),
            head + "0,\"id\":\"" + first +
                R"(","type":"function","function":{"name":"f\"","arguments":")" + tail + head +
                R"(0,"function":{"arguments":"{)" + tail + head +
                R"(0,"function":{"arguments":"})" + tail + head + "1,\"id\":\"" +
                ToolCallId("chatcmpl-1", 0, 1) +
                R"(","type":"function","function":{"name":"g","arguments":")" + tail);
  EXPECT_THAT(writer_.AllWritten(), HasSubstr("\"finish_reason\":\"tool_calls\""));
  EXPECT_NE(first, ToolCallId("chatcmpl-1", 1, 0));
  EXPECT_EQ(first.size(), 9u);
}

TEST_F(OpenAiGenerationTest, AWholeAnswerHasItsCalls) {
  ResponseSink& generation = Start(/*stream=*/false, /*choices=*/2);
  generation.OnAccepted(10);
  generation.OnStarted(4);
  generation.OnDelta(0, {.tool_calls = {{.name = "f", .arguments = "{\"a\":"}}}, 1);
  generation.OnDelta(0, {.tool_calls = {{.arguments = "1}"}, {.index = 1, .name = "g"}}}, 1);
  generation.OnDelta(1, {.content = "hi", .tool_calls = {{.name = "h", .arguments = "{"}}}, 1);
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(2));
  generation.OnFinished(1, FinishReason::kLength, TokenUsage(2));
  const std::string& body = writer_.response->body;
  EXPECT_THAT(body,
              HasSubstr(R"("content":null,"tool_calls":[{"id":")" + ToolCallId("chatcmpl-1", 0, 0) +
                        R"(","type":"function","function":{"name":"f",)"
                        R"("arguments":"{\"a\":1}"}},{"id":")"));
  EXPECT_THAT(body, HasSubstr(R"({"name":"g","arguments":""}}],"refusal":null},"logprobs":null,)"
                              R"("finish_reason":"tool_calls"})"));
  EXPECT_THAT(body, HasSubstr(R"("content":"hi","tool_calls":[{)"));
  EXPECT_THAT(body, HasSubstr("\"finish_reason\":\"length\""));
}

TEST_F(OpenAiGenerationTest, ReasoningIsHiddenWhereTheClientWantsNone) {
  for (const bool stream : {true, false}) {
    include_reasoning_ = false;
    ResponseSink& generation = Start(stream);
    generation.OnAccepted(10);
    generation.OnStarted(4);
    generation.OnDelta(0, {.reasoning = "hm"}, 2);
    generation.OnDelta(0, {.content = "yes", .reasoning = "so"}, 2);
    generation.OnFinished(0, FinishReason::kStop, TokenUsage(4));
  }
  EXPECT_THAT(writer_.AllWritten() + writer_.response->body, Not(HasSubstr("reasoning_content")));
  EXPECT_THAT(writer_.AllWritten(), HasSubstr("yes"));
  EXPECT_THAT(writer_.response->body, HasSubstr("yes"));
}

TEST_F(OpenAiGenerationTest, LogprobsGoWithTheContentOfADeltaThatHasBoth) {
  ResponseSink& generation = StartScored(/*stream=*/true, OpenAiEndpoint::kChat);
  OutputDelta delta = {.content = "yes", .logprobs = {Scored("yes", 0)}, .reasoning = "hm"};
  generation.OnDelta(0, delta, 3);
  generation.OnBatchEnd();
  const std::string all = writer_.AllWritten();
  EXPECT_THAT(all, HasSubstr("\"reasoning_content\":\"hm\"},\"logprobs\":null"));
  EXPECT_THAT(all,
              HasSubstr("{\"content\":\"yes\"},\"logprobs\":{\"content\":[{\"token\":\"yes\""));
}

TEST_F(OpenAiGenerationTest, CompletionsHaveTheirOwnShapes) {
  ResponseSink& stream = Start(true, 1, false, OpenAiEndpoint::kCompletions);
  stream.OnAccepted(10);
  stream.OnStarted(0);
  stream.OnDelta(0, {"a"}, 1);
  stream.OnFinished(0, FinishReason::kStop, TokenUsage(1));
  EXPECT_THAT(writer_.AllWritten(),
              HasSubstr("\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"m\","
                        "\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"text\":\"a\","
                        "\"logprobs\":null,\"finish_reason\":null}]}\n\n"));
  EXPECT_THAT(writer_.AllWritten(), Not(HasSubstr("delta")));
  ResponseSink& whole = Start(false, 1, false, OpenAiEndpoint::kCompletions);
  whole.OnAccepted(10);
  whole.OnDelta(0, {"a"}, 1);
  whole.OnFinished(0, FinishReason::kStop, TokenUsage(1));
  EXPECT_THAT(writer_.response->body,
              HasSubstr("\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"m\","
                        "\"choices\":[{\"index\":0,\"text\":\"a\",\"logprobs\":null,"
                        "\"finish_reason\":\"stop\"}]"));
}

TEST_F(OpenAiGenerationTest, FailureBeforeTheHeadHasItsOwnStatus) {
  ResponseSink& generation = Start(/*stream=*/true);
  generation.OnFailed({absl::ResourceExhaustedError("full"), "queue_full", absl::Seconds(2.5)});
  ASSERT_TRUE(writer_.response.has_value());
  EXPECT_EQ(writer_.response->status, 429);
  std::string retry_after;
  for (const HttpHeader& header : writer_.response->headers) {
    if (header.name == "Retry-After") retry_after = header.value;
  }
  EXPECT_EQ(retry_after, "3");
  EXPECT_FALSE(writer_.began);
}

TEST_F(OpenAiGenerationTest, FailureInAStreamIsAnErrorEventAndNoEnd) {
  ResponseSink& generation = Start(/*stream=*/true);
  generation.OnAccepted(1);
  generation.OnStarted(0);
  generation.OnDelta(0, {"half"}, 1);
  generation.OnFailed({absl::UnavailableError("the worker died"), "worker_lost"});
  EXPECT_TRUE(writer_.aborted);
  EXPECT_FALSE(writer_.ended);
  EXPECT_THAT(writer_.AllWritten(),
              EndsWith("data: {\"error\":{\"message\":\"the worker died\","
                       "\"type\":\"server_error\",\"param\":null,\"code\":\"worker_lost\"}}\n\n"));
  EXPECT_THAT(writer_.AllWritten(), Not(HasSubstr("[DONE]")));
}

TEST_F(OpenAiGenerationTest, PromptThatIsTooLongNamesTheField) {
  Start(/*stream=*/true)
      .OnFailed({absl::InvalidArgumentError("too long"), "context_length_exceeded"});
  EXPECT_EQ(writer_.response->status, 400);
  EXPECT_EQ(writer_.response->body,
            "{\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\","
            "\"param\":\"messages\",\"code\":\"context_length_exceeded\"}}");
}

TEST_F(OpenAiGenerationTest, WhatTheWorkerFindsWrongNamesItsField) {
  const auto body_of = [this](std::string field) {
    Start(/*stream=*/false)
        .OnFailed({.status = absl::InvalidArgumentError("no"),
                   .reason = "invalid_request",
                   .field = std::move(field)});
    return writer_.response->body;
  };
  EXPECT_THAT(body_of("logit_bias"), HasSubstr("\"param\":\"logit_bias\""));
  EXPECT_THAT(body_of("prompt"), HasSubstr("\"param\":\"messages\""));
  EXPECT_THAT(body_of(""), HasSubstr("\"param\":null"));
}

TEST_F(OpenAiGenerationTest, VainRetriesAreForbidden) {
  Start(/*stream=*/false).OnFailed({absl::DeadlineExceededError("late"), "deadline"});
  EXPECT_EQ(writer_.response->status, 504);
  ASSERT_EQ(writer_.response->headers.size(), 1u);
  EXPECT_EQ(writer_.response->headers[0].name, "x-should-retry");
  EXPECT_EQ(writer_.response->headers[0].value, "false");
}

TEST_F(OpenAiGenerationTest, GoingAwayCancelsOnlyWhatRuns) {
  Start(/*stream=*/true).OnAccepted(1);
  EXPECT_EQ(shard_->requests_in_flight(), 1);
  generation_.reset();
  EXPECT_EQ(shard_->requests_in_flight(), 0);
  Start(/*stream=*/true).OnFailed({absl::UnavailableError("x"), "worker_lost"});
  generation_.reset();
  EXPECT_TRUE(router_.WaitForCancels(1));
  EXPECT_EQ(shard_->requests_in_flight(), 1);  // the fake forgets only what is cancelled
}

TEST_F(OpenAiGenerationTest, LongWaitGetsItsHeadAndKeepAlives) {
  ResponseSink& generation = Start(/*stream=*/true);
  EXPECT_FALSE(writer_.wake_after.has_value());
  generation.OnAccepted(1);
  EXPECT_EQ(writer_.wake_after, timings_.start_after_accepted);
  generation_->OnWake();
  EXPECT_TRUE(writer_.began);
  EXPECT_EQ(writer_.wake_after, timings_.keep_alive_every);
  EXPECT_THAT(writer_.AllWritten(), EndsWith(": keep-alive\n\n"));
  generation_->OnWake();
  EXPECT_EQ(writer_.writes.size(), 2u);
  EXPECT_EQ(writer_.writes[1], ": keep-alive\n\n");
}

TEST_F(OpenAiGenerationTest, RefusalAfterALongWaitIsAnErrorEvent) {
  ResponseSink& generation = Start(/*stream=*/true);
  generation.OnAccepted(1);
  generation_->OnWake();
  generation.OnFailed({absl::DeadlineExceededError("late"), "deadline"});
  EXPECT_FALSE(writer_.response.has_value());
  EXPECT_TRUE(writer_.aborted);
  EXPECT_THAT(writer_.AllWritten(), HasSubstr("data: {\"error\":{\"message\":\"late\""));
  EXPECT_THAT(writer_.AllWritten(), Not(HasSubstr("[DONE]")));
}

TEST_F(OpenAiGenerationTest, WholeAnswersGetNoHeadBeforeTheyAreWhole) {
  ResponseSink& generation = Start(/*stream=*/false);
  generation.OnAccepted(1);
  EXPECT_FALSE(writer_.wake_after.has_value());
  generation.OnStarted(0);
  EXPECT_FALSE(writer_.began);
  generation.OnFailed({absl::DeadlineExceededError("late"), "deadline"});
  EXPECT_EQ(writer_.response->status, 504);
}

TEST_F(OpenAiGenerationTest, NoKeepAliveWhileTokensFlow) {
  ResponseSink& generation = Start(/*stream=*/true);
  generation.OnAccepted(1);
  generation.OnStarted(0);
  generation.OnDelta(0, {"a"}, 1);
  generation.OnBatchEnd();
  generation_->OnWake();
  EXPECT_THAT(writer_.AllWritten(), Not(HasSubstr("keep-alive")));
  generation_->OnWake();
  EXPECT_THAT(writer_.AllWritten(), EndsWith(": keep-alive\n\n"));
}

TEST_F(OpenAiGenerationTest, BigDeltaIsSplitBetweenCharactersIntoShortLines) {
  ResponseSink& generation = Start(/*stream=*/true);
  generation.OnAccepted(1);
  generation.OnStarted(0);
  std::string text = "xx";  // so that the cut falls into a character
  while (text.size() < 100'000) text += "\xe4\xbd\xa0\x01";
  generation.OnDelta(0, {text}, 1);
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(1));
  const std::string all = writer_.AllWritten();
  EXPECT_THAT(all, Not(HasSubstr("\xef\xbf\xbd")));
  size_t begin = 0;
  size_t longest = 0;
  for (size_t end = all.find('\n'); end != std::string::npos; end = all.find('\n', begin)) {
    longest = std::max(longest, end - begin);
    begin = end + 1;
  }
  EXPECT_LT(longest, 64u << 10);
}

TEST_F(OpenAiGenerationTest, ChatLogprobsGoWithTheTextOfTheirTokens) {
  ResponseSink& generation = StartScored(/*stream=*/true, OpenAiEndpoint::kChat);
  writer_.writes.clear();
  generation.OnBatchEnd();
  writer_.writes.clear();
  generation.OnDelta(0, {"a\xc3\xa9", {Scored("a", 0), Scored("\xc3", 1), Scored("\xa9", 1)}}, 3);
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(3));
  const std::string top =
      ",\"top_logprobs\":[{\"token\":\"x\",\"logprob\":-0.25,\"bytes\":[120]}]}";
  EXPECT_EQ(writer_.AllWritten(),
            std::string(kHead) +
                "{\"index\":0,\"delta\":{\"content\":\"a\xc3\xa9\"},\"logprobs\":{\"content\":["
                "{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97]" +
                top + ",{\"token\":\"\\\\xc3\",\"logprob\":-0.5,\"bytes\":[195]" + top +
                ",{\"token\":\"\\\\xa9\",\"logprob\":-0.5,\"bytes\":[169]" + top +
                "],\"refusal\":null},\"finish_reason\":null}]}\n\n" + kHead +
                "{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":null,"
                "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
}

TEST_F(OpenAiGenerationTest, WholeAnswersHaveTheLogprobsOfAllTheirTokens) {
  ResponseSink& chat = StartScored(/*stream=*/false, OpenAiEndpoint::kChat);
  chat.OnDelta(0, {"a", {Scored("a", 0)}}, 1);
  chat.OnDelta(0, {"b", {Scored("b", 1)}}, 1);
  chat.OnFinished(0, FinishReason::kStop, TokenUsage(2));
  EXPECT_THAT(writer_.response->body,
              HasSubstr("\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,"));
  EXPECT_THAT(writer_.response->body, HasSubstr("]},{\"token\":\"b\","));

  ResponseSink& completion = StartScored(/*stream=*/false, OpenAiEndpoint::kCompletions);
  completion.OnDelta(0, {"\xc3\xa9", {Scored("\xc3\xa9", 0)}}, 1);
  completion.OnDelta(0, {"\xc3\xa9", {Scored("\xc3", 2), Scored("\xa9", 2)}}, 1);
  completion.OnDelta(0, {"b", {Scored("b", 4)}}, 1);
  completion.OnFinished(0, FinishReason::kStop, TokenUsage(3));
  EXPECT_THAT(writer_.response->body,
              HasSubstr("\"text\":\"\xc3\xa9\xc3\xa9"
                        "b\",\"logprobs\":{\"text_offset\":[0,1,1,2],"
                        "\"token_logprobs\":[-0.5,-0.5,-0.5,-0.5],"
                        "\"tokens\":[\"\xc3\xa9\",\"bytes:\\\\xc3\",\"bytes:\\\\xa9\",\"b\"],"
                        "\"top_logprobs\":[{\"x\":-0.25,\"\xc3\xa9\":-0.5},"));
}

TEST_F(OpenAiGenerationTest, AnAnswerWithoutTokensHasEmptyLogprobs) {
  StartScored(/*stream=*/false, OpenAiEndpoint::kChat)
      .OnFinished(0, FinishReason::kStop, TokenUsage(1));
  EXPECT_THAT(writer_.response->body, HasSubstr("\"logprobs\":{\"content\":[],\"refusal\":null}"));
}

TEST_F(OpenAiGenerationTest, TextOffsetsGoOnFromChunkToChunk) {
  ResponseSink& generation = StartScored(/*stream=*/true, OpenAiEndpoint::kCompletions);
  generation.OnDelta(0, {"\xc3\xa9y", {Scored("\xc3\xa9y", 0)}}, 1);
  generation.OnDelta(0, {"b", {Scored("b", 3)}}, 1);
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(2));
  EXPECT_THAT(writer_.AllWritten(), HasSubstr("\"text\":\"\xc3\xa9y\",\"logprobs\":"
                                              "{\"text_offset\":[0],"));
  EXPECT_THAT(writer_.AllWritten(), HasSubstr("\"text\":\"b\",\"logprobs\":{\"text_offset\":[2],"));
}

TEST_F(OpenAiGenerationTest, ImpossibleTokensAreMinus9999AndNamesAreKeptOnce) {
  ResponseSink& generation = StartScored(/*stream=*/false, OpenAiEndpoint::kCompletions);
  TokenLogprobs logprobs = Scored("x", 0);  // its alternative has the same text
  logprobs.token.logprob = -std::numeric_limits<float>::infinity();
  generation.OnDelta(0, {"x", {logprobs}}, 1);
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(1));
  EXPECT_THAT(writer_.response->body, HasSubstr("\"token_logprobs\":[-9999],\"tokens\":[\"x\"],"
                                                "\"top_logprobs\":[{\"x\":-0.25}]"));
}

TEST_F(OpenAiGenerationTest, LongLogprobsAreCutBetweenTokensIntoShortLines) {
  ResponseSink& generation = StartScored(/*stream=*/true, OpenAiEndpoint::kChat);
  OutputDelta delta;
  for (uint64_t i = 0; i < 3000; ++i) {
    delta.logprobs.push_back(Scored("ab", delta.content.size()));
    delta.content += "ab";
  }
  generation.OnDelta(0, delta, 3000);
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(1));
  const std::string all = writer_.AllWritten();
  std::string text;
  size_t tokens = 0;
  for (size_t begin = 0, end = all.find('\n'); end != std::string::npos;
       begin = end + 1, end = all.find('\n', begin)) {
    const std::string line = all.substr(begin, end - begin);
    EXPECT_LT(line.size(), 64u << 10);
    const size_t content = line.find("\"content\":\"");
    if (content == std::string::npos) continue;
    const std::string part = line.substr(content + 11, line.find('"', content + 11) - content - 11);
    size_t of_line = 0;
    for (size_t at = line.find("{\"token\":\"ab\""); at != std::string::npos;
         at = line.find("{\"token\":\"ab\"", at + 1)) {
      ++of_line;
    }
    EXPECT_EQ(part.size(), 2 * of_line);
    text += part;
    tokens += of_line;
  }
  EXPECT_EQ(text, delta.content);
  EXPECT_EQ(tokens, 3000u);
}

TEST_F(OpenAiGenerationTest, PlacesThatAWorkerMakesUpDoNoHarm) {
  for (const OpenAiEndpoint endpoint : {OpenAiEndpoint::kChat, OpenAiEndpoint::kCompletions}) {
    for (const bool stream : {false, true}) {
      ResponseSink& generation = StartScored(stream, endpoint);
      generation.OnDelta(0, {"abc", {Scored("a", 1), Scored("b", 0), Scored("c", ~uint64_t{0})}},
                         3);
      generation.OnDelta(0, {"d", {Scored("d", 0)}}, 1);
      generation.OnFinished(0, FinishReason::kStop, TokenUsage(4));
    }
  }
}

TEST_F(OpenAiGenerationTest, SeveralPromptsAreAnsweredByIndexAndCountedOnceEach) {
  const std::vector<ResponseSink*> prompts = StartThree(/*stream=*/false);
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_EQ(std::get<std::string>(router_.requests()[2].prompt), "c");
  for (size_t i = 0; i < 3; ++i) {
    prompts[i]->OnAccepted(10);
    prompts[i]->OnStarted(4);
  }
  for (const size_t i : {2u, 0u, 1u}) {
    for (const int32_t choice : {1, 0}) {
      const std::string text = std::to_string(i) + "." + std::to_string(choice);
      prompts[i]->OnDelta(choice, {text}, 1);
      EXPECT_FALSE(writer_.response.has_value());
      prompts[i]->OnFinished(choice, FinishReason::kLength, TokenUsage(2));
    }
  }
  ASSERT_TRUE(writer_.response.has_value());
  for (int index = 0; index < 6; ++index) {
    EXPECT_THAT(writer_.response->body,
                HasSubstr("{\"index\":" + std::to_string(index) + ",\"text\":\"" +
                          std::to_string(index / 2) + "." + std::to_string(index % 2) + "\""));
  }
  EXPECT_THAT(writer_.response->body,
              HasSubstr("\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":12,"
                        "\"total_tokens\":42,\"prompt_tokens_details\":{\"cached_tokens\":12}"));
}

TEST_F(OpenAiGenerationTest, AStreamOfSeveralPromptsBeginsWhenAllAreAccepted) {
  const std::vector<ResponseSink*> prompts = StartThree(/*stream=*/true);
  prompts[1]->OnAccepted(10);
  prompts[1]->OnStarted(0);
  prompts[1]->OnDelta(0, {"early"}, 1);
  prompts[1]->OnBatchEnd();
  prompts[0]->OnAccepted(10);
  EXPECT_FALSE(writer_.began);
  prompts[2]->OnAccepted(10);
  EXPECT_TRUE(writer_.began);
  prompts[2]->OnBatchEnd();
  EXPECT_THAT(writer_.AllWritten(), HasSubstr("{\"index\":2,\"text\":\"early\""));
}

TEST_F(OpenAiGenerationTest, OnePromptThatIsRefusedRefusesAll) {
  const std::vector<ResponseSink*> prompts = StartThree(/*stream=*/true);
  prompts[0]->OnAccepted(10);
  prompts[0]->OnStarted(0);
  prompts[0]->OnDelta(0, {"never seen"}, 1);
  prompts[0]->OnBatchEnd();
  prompts[1]->OnFailed({absl::InvalidArgumentError("too long"), "context_length_exceeded"});
  ASSERT_TRUE(writer_.response.has_value());
  EXPECT_EQ(writer_.response->status, 400);
  EXPECT_THAT(writer_.response->body, HasSubstr("\"param\":\"prompt\""));
  EXPECT_FALSE(writer_.began);
  EXPECT_TRUE(router_.WaitForCancels(2));
  generation_.reset();
  EXPECT_EQ(router_.cancels(), 2);
}

TEST_F(OpenAiGenerationTest, OnePromptThatBreaksOffBreaksTheStream) {
  const std::vector<ResponseSink*> prompts = StartThree(/*stream=*/true);
  for (ResponseSink* prompt : prompts) {
    prompt->OnAccepted(1);
    prompt->OnStarted(0);
  }
  for (const int32_t choice : {0, 1}) {
    prompts[0]->OnFinished(choice, FinishReason::kStop, TokenUsage(1));
  }
  prompts[2]->OnFailed({absl::UnavailableError("gone"), "worker_lost"});
  EXPECT_TRUE(writer_.aborted);
  EXPECT_TRUE(router_.WaitForCancels(1));  // the second; the first had ended
  EXPECT_EQ(router_.cancels(), 1);
}

TEST_F(OpenAiGenerationTest, TheFirstTokenOfAnEchoHasNoLogprob) {
  ResponseSink& generation = StartScored(/*stream=*/false, OpenAiEndpoint::kCompletions);
  TokenLogprobs first = Scored("ab", 0);
  first.known = false;
  first.of_prompt = true;
  TokenLogprobs end = Scored("<end>", 3);
  end.silent = true;
  generation.OnDelta(0, {"abc", {first, Scored("c", 2), end}}, 2);
  generation.OnFinished(0, FinishReason::kStop, TokenUsage(2));
  EXPECT_THAT(writer_.response->body,
              HasSubstr("\"text_offset\":[0,2,3],\"token_logprobs\":[null,-0.5,-0.5],"
                        "\"tokens\":[\"ab\",\"c\",\"<end>\"],\"top_logprobs\":[null,{\"x\":-0.25,"
                        "\"c\":-0.5},{\"x\":-0.25,\"<end>\":-0.5}]"));
}

TEST_F(OpenAiGenerationTest, ChatsDontShowTokensWithoutText) {
  ResponseSink& generation = StartScored(/*stream=*/true, OpenAiEndpoint::kChat);
  generation.OnBatchEnd();
  writer_.writes.clear();
  TokenLogprobs end = Scored("<end>", 0);
  end.silent = true;
  generation.OnDelta(0, {"", {end}}, 1);
  generation.OnBatchEnd();
  EXPECT_EQ(writer_.AllWritten(), "");
}

}  // namespace
}  // namespace spillway
