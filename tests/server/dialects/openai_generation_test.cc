#include "server/dialects/openai_generation.h"

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

  OpenAiGeneration& Start(bool stream, int choices = 1, bool include_usage = false,
                          OpenAiEndpoint endpoint = OpenAiEndpoint::kChat) {
    OpenAiRequest request;
    request.stream = stream;
    request.include_usage = include_usage;
    request.generate.choices = choices;
    const OpenAiIdentity identity = {endpoint, "chatcmpl-1", 1'700'000'000, "m", "fp"};
    generation_ = std::make_unique<OpenAiGeneration>(identity, std::move(request), timings_,
                                                     *shard_, writer_);
    return *generation_;
  }

  static Usage TokenUsage(int32_t completion) {
    return {.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = completion};
  }

  OpenAiTimings timings_;
  FakeRouter router_;
  std::unique_ptr<RouterShard> shard_;
  RecordingWriter writer_;
  std::unique_ptr<OpenAiGeneration> generation_;
};

TEST_F(OpenAiGenerationTest, WritesAStreamToTheByte) {
  OpenAiGeneration& generation = Start(/*stream=*/true);
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
  OpenAiGeneration& generation = Start(/*stream=*/true, 1, /*include_usage=*/true);
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
  OpenAiGeneration& generation = Start(/*stream=*/true, /*choices=*/2);
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
  OpenAiGeneration& generation = Start(/*stream=*/false, /*choices=*/2);
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

TEST_F(OpenAiGenerationTest, CompletionsHaveTheirOwnShapes) {
  OpenAiGeneration& stream = Start(true, 1, false, OpenAiEndpoint::kCompletions);
  stream.OnAccepted(10);
  stream.OnStarted(0);
  stream.OnDelta(0, {"a"}, 1);
  stream.OnFinished(0, FinishReason::kStop, TokenUsage(1));
  EXPECT_THAT(writer_.AllWritten(),
              HasSubstr("\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"m\","
                        "\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"text\":\"a\","
                        "\"logprobs\":null,\"finish_reason\":null}]}\n\n"));
  EXPECT_THAT(writer_.AllWritten(), Not(HasSubstr("delta")));
  OpenAiGeneration& whole = Start(false, 1, false, OpenAiEndpoint::kCompletions);
  whole.OnAccepted(10);
  whole.OnDelta(0, {"a"}, 1);
  whole.OnFinished(0, FinishReason::kStop, TokenUsage(1));
  EXPECT_THAT(writer_.response->body,
              HasSubstr("\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"m\","
                        "\"choices\":[{\"index\":0,\"text\":\"a\",\"logprobs\":null,"
                        "\"finish_reason\":\"stop\"}]"));
}

TEST_F(OpenAiGenerationTest, FailureBeforeTheHeadHasItsOwnStatus) {
  OpenAiGeneration& generation = Start(/*stream=*/true);
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
  OpenAiGeneration& generation = Start(/*stream=*/true);
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
  OpenAiGeneration& generation = Start(/*stream=*/true);
  EXPECT_FALSE(writer_.wake_after.has_value());
  generation.OnAccepted(1);
  EXPECT_EQ(writer_.wake_after, timings_.start_after_accepted);
  generation.OnWake();
  EXPECT_TRUE(writer_.began);
  EXPECT_EQ(writer_.wake_after, timings_.keep_alive_every);
  EXPECT_THAT(writer_.AllWritten(), EndsWith(": keep-alive\n\n"));
  generation.OnWake();
  EXPECT_EQ(writer_.writes.size(), 2u);
  EXPECT_EQ(writer_.writes[1], ": keep-alive\n\n");
}

TEST_F(OpenAiGenerationTest, NoKeepAliveWhileTokensFlow) {
  OpenAiGeneration& generation = Start(/*stream=*/true);
  generation.OnAccepted(1);
  generation.OnStarted(0);
  generation.OnDelta(0, {"a"}, 1);
  generation.OnBatchEnd();
  generation.OnWake();
  EXPECT_THAT(writer_.AllWritten(), Not(HasSubstr("keep-alive")));
  generation.OnWake();
  EXPECT_THAT(writer_.AllWritten(), EndsWith(": keep-alive\n\n"));
}

TEST_F(OpenAiGenerationTest, BigDeltaIsSplitBetweenCharactersIntoShortLines) {
  OpenAiGeneration& generation = Start(/*stream=*/true);
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

}  // namespace
}  // namespace spillway
