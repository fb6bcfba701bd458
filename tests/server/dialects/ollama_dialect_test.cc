#include "server/dialects/ollama_dialect.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/dialects/ollama_error.h"
#include "tests/support/fake_router.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_writer.h"

namespace spillway {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class OllamaDialectTest : public ::testing::Test {
 protected:
  OllamaDialectTest() {
    router_.SetModels(
        {{"smollm2", 2048, absl::FromUnixSeconds(1'700'000'000), {}, 0, "ab12cd", "llama"},
         {"minilm", 256, absl::FromUnixSeconds(1'700'000'000), {}, 384, "", "bert"}});
    dialect_.AddRoutes(routes_);
    routes_.AddErrorFormat("/api/", FormatOllamaError);
  }

  // The answer is in writer_.
  void Ask(const std::string& method, const std::string& path, const std::string& body = "") {
    HttpRequest request;
    request.method = method;
    request.path = path;
    EXPECT_FALSE(routes_.Admit(request).has_value());
    request.body = body;
    operation_ = routes_.Handle(request, writer_);
  }
  // A chat that has been accepted and started, and its sink.
  ResponseSink& Start(const std::string& fields, const std::string& path = "/api/chat") {
    Ask("POST", path,
        R"({"model":"smollm2","messages":[{"role":"user","content":"hi"}],)"
        R"("prompt":"hi")" +
            fields + "}");
    ResponseSink& sink = router_.LatestSink(0);
    sink.OnAccepted(10);
    clock_.Advance(absl::Milliseconds(5));
    sink.OnStarted(4);
    return sink;
  }
  json Response() const { return json::parse(writer_.response.value().body); }

  FakeRouter router_;
  std::vector<std::function<void()>> turns_;
  std::unique_ptr<RouterShard> shard_ =
      router_.MakeShard([this](std::function<void()> turn) { turns_.push_back(std::move(turn)); });
  ManualClock clock_;
  OllamaDialect dialect_{{.router = router_, .shard = *shard_, .clock = clock_},
                         {{"smollm2", 98'362'432}}};
  RouteTable routes_{[](HttpRequest&, TokenRule) { return std::nullopt; },
                     [](int, std::string_view, std::string_view) { return HttpResponse(); }};
  RecordingWriter writer_;
  std::unique_ptr<HttpOperation> operation_;
};

constexpr char kHead[] = R"({"model":"smollm2","created_at":")";

TEST_F(OllamaDialectTest, StreamsAChatLineByLine) {
  ResponseSink& sink = Start("");
  EXPECT_EQ(writer_.content_type, "application/x-ndjson");
  clock_.Advance(absl::Milliseconds(20));
  sink.OnDelta(0, {.reasoning = "hm"}, 1);
  sink.OnDelta(0, {.content = "Hi\n"}, 1);
  sink.OnBatchEnd();
  clock_.Advance(absl::Milliseconds(100));
  sink.OnFinished(0, FinishReason::kStop, {.prompt_tokens = 10, .completion_tokens = 3});
  const std::string head = kHead + OllamaTime(clock_.WallNow() - absl::Milliseconds(100)) + "\",";
  const std::string end = kHead + OllamaTime(clock_.WallNow()) + "\",";
  EXPECT_THAT(
      writer_.writes,
      ElementsAre(
          head +
              R"("message":{"role":"assistant","content":"","thinking":"hm"},"done":false})"
              "\n" +
              head +
              R"("message":{"role":"assistant","content":"Hi\n"},"done":false})"
              "\n",
          end + R"("message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",)"
                R"("total_duration":125000000,"load_duration":5000000,"prompt_eval_count":10,)"
                R"("prompt_eval_duration":20000000,"eval_count":3,"eval_duration":100000000})"
                "\n"));
  EXPECT_TRUE(writer_.ended);
}

TEST_F(OllamaDialectTest, AnswersWholeWhenAsked) {
  ResponseSink& sink = Start(R"(,"stream":false)", "/api/generate");
  sink.OnDelta(0, {.content = "Hello", .reasoning = "hm"}, 2);
  sink.OnFinished(0, FinishReason::kLength, {.prompt_tokens = 10, .completion_tokens = 2});
  const json answer = Response();
  EXPECT_EQ(answer["response"], "Hello");
  EXPECT_EQ(answer["thinking"], "hm");
  EXPECT_EQ(answer["done"], true);
  EXPECT_EQ(answer["done_reason"], "length");
  EXPECT_EQ(answer["eval_count"], 2);
  EXPECT_THAT(writer_.response->body, Not(HasSubstr("\n")));
}

TEST_F(OllamaDialectTest, ACallOfAToolComesWholeAndWithAnObject) {
  ResponseSink& sink = Start("");
  sink.OnDelta(0, {.tool_calls = {{.name = "f", .arguments = "{\"a\""}}}, 1);
  sink.OnBatchEnd();
  EXPECT_EQ(writer_.AllWritten(), "");
  sink.OnDelta(0, {.tool_calls = {{.arguments = ":1}"}, {.index = 1, .name = "g"}}}, 1);
  sink.OnBatchEnd();
  EXPECT_THAT(writer_.AllWritten(), HasSubstr(R"("function":{"index":0,"name":"f",)"
                                              R"("arguments":{"a":1}}}]},"done":false})"));
  sink.OnFinished(0, FinishReason::kStop, {});
  EXPECT_THAT(writer_.AllWritten(), HasSubstr(R"({"index":1,"name":"g","arguments":{}}}]})"));
  EXPECT_THAT(writer_.AllWritten(), HasSubstr(R"("done_reason":"stop")"));

  ResponseSink& whole = Start(R"(,"stream":false)");
  whole.OnDelta(0,
                {.tool_calls = {{.name = "f", .arguments = "{}"},
                                {.index = 1, .name = "g", .arguments = "{"}}},
                1);
  whole.OnFinished(0, FinishReason::kStop, {});
  const json calls = Response()["message"]["tool_calls"];
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[1]["function"]["name"], "g");
  EXPECT_EQ(calls[1]["function"]["index"], 1);
}

TEST_F(OllamaDialectTest, ThinkFalseHidesTheThinking) {
  ResponseSink& sink = Start(R"(,"think":false)");
  sink.OnDelta(0, {.content = "a", .reasoning = "hm"}, 2);
  sink.OnBatchEnd();
  EXPECT_THAT(writer_.AllWritten(), Not(HasSubstr("hm")));
}

TEST_F(OllamaDialectTest, ABrokenStreamEndsWithAnErrorAndNoEnd) {
  ResponseSink& sink = Start("");
  sink.OnDelta(0, {.content = "a"}, 1);
  sink.OnFailed({.status = absl::UnavailableError("the worker was lost"), .reason = "worker_lost"});
  EXPECT_THAT(writer_.AllWritten(), ::testing::EndsWith("{\"error\":\"the worker was lost\"}\n"));
  EXPECT_THAT(writer_.AllWritten(), Not(HasSubstr("\"done\":true")));
  EXPECT_TRUE(writer_.aborted);
  EXPECT_FALSE(writer_.ended);
}

TEST_F(OllamaDialectTest, BeforeTheStreamAnErrorHasItsStatus) {
  Ask("POST", "/api/chat", R"({"model":"x","messages":[{"role":"user","content":"hi"}]})");
  router_.LatestSink(0).OnFailed(
      {.status = absl::ResourceExhaustedError("full"), .reason = "queue_full"});
  EXPECT_EQ(writer_.response->status, 429);
  EXPECT_EQ(writer_.response->body, "{\"error\":\"full\"}");
  EXPECT_EQ(writer_.response->headers.at(0).name, "Retry-After");
  EXPECT_FALSE(writer_.began);
}

// ollama-python takes a blank line for broken JSON.
TEST_F(OllamaDialectTest, SilenceIsBrokenByAPieceWithoutText) {
  Start("");
  EXPECT_EQ(writer_.wake_after, absl::Seconds(15));
  operation_->OnWake();
  operation_->OnWake();
  const std::string all = writer_.AllWritten();
  EXPECT_THAT(all, HasSubstr(R"("content":""},"done":false})"));
  EXPECT_EQ(all.find("\n\n"), std::string::npos);
  EXPECT_EQ(all.back(), '\n');
}

TEST_F(OllamaDialectTest, AWaitingStreamBeginsInTime) {
  Ask("POST", "/api/chat", R"({"model":"x","messages":[{"role":"user","content":"hi"}]})");
  router_.LatestSink(0).OnAccepted(10);
  EXPECT_EQ(writer_.wake_after, absl::Seconds(20));
  EXPECT_FALSE(writer_.began);
  operation_->OnWake();
  EXPECT_TRUE(writer_.began);
}

TEST_F(OllamaDialectTest, NoLineIsOver64KiB) {
  ResponseSink& sink = Start("");
  sink.OnDelta(0, {.content = std::string(40'000, '\x01')}, 1);
  sink.OnBatchEnd();
  std::string all = writer_.AllWritten();
  size_t longest = 0;
  for (size_t begin = 0, end; (end = all.find('\n', begin)) != std::string::npos; begin = end + 1) {
    longest = std::max(longest, end - begin);
  }
  EXPECT_GT(longest, 40'000u);
  EXPECT_LT(longest, 65'536u);
}

TEST_F(OllamaDialectTest, AClientThatLeavesCancels) {
  Start("");
  operation_.reset();
  EXPECT_EQ(router_.cancels(), 1);
}

TEST_F(OllamaDialectTest, AFinishedRequestIsNotCancelled) {
  Start("").OnFinished(0, FinishReason::kStop, {});
  operation_.reset();
  EXPECT_EQ(router_.cancels(), 0);
}

TEST_F(OllamaDialectTest, LoadsWhatIsThere) {
  Ask("POST", "/api/generate", R"({"model":"SmolLM2:latest"})");
  EXPECT_EQ(Response()["done_reason"], "load");
  EXPECT_EQ(Response()["response"], "");
  Ask("POST", "/api/chat", R"({"model":"smollm2","keep_alive":0})");
  EXPECT_EQ(Response()["done_reason"], "unload");
  EXPECT_EQ(Response()["message"]["content"], "");
  Ask("POST", "/api/generate", R"({"model":"other"})");
  EXPECT_EQ(writer_.response->status, 404);
  EXPECT_THAT(writer_.response->body, HasSubstr("{\"error\":\"model \\\"other\\\" not found"));
}

TEST_F(OllamaDialectTest, ListsModelsAsItsClientsWantThem) {
  Ask("GET", "/api/tags");
  const json model = Response()["models"][0];
  EXPECT_EQ(model["name"], "smollm2:latest");
  EXPECT_EQ(model["model"], "smollm2:latest");
  EXPECT_EQ(model["size"], 98'362'432);
  EXPECT_EQ(model["digest"].get<std::string>().size(), 64u);
  EXPECT_EQ(model["modified_at"], "2023-11-14T22:13:20.000000Z");
  EXPECT_EQ(model["details"]["family"], "llama");
  EXPECT_TRUE(model["details"].contains("quantization_level"));
}

TEST_F(OllamaDialectTest, OnlyReadyModelsRun) {
  router_.SetReplicas({{.name = "worker-0", .ready = true, .model = "smollm2"},
                       {.name = "worker-1", .ready = false, .model = "minilm"}});
  Ask("GET", "/api/ps");
  EXPECT_EQ(Response()["models"].size(), 1u);
  EXPECT_EQ(Response()["models"][0]["model"], "smollm2:latest");
  EXPECT_EQ(Response()["models"][0]["context_length"], 2048);
}

TEST_F(OllamaDialectTest, ShowsWhatAModelCan) {
  Ask("POST", "/api/show", R"({"model":"smollm2:latest"})");
  EXPECT_EQ(Response()["capabilities"], json({"completion"}));
  EXPECT_EQ(Response()["model_info"]["llama.context_length"], 2048);
  Ask("POST", "/api/show", R"({"name":"minilm"})");
  EXPECT_EQ(Response()["capabilities"], json({"embedding"}));
  EXPECT_EQ(Response()["model_info"]["bert.embedding_length"], 384);
  Ask("POST", "/api/show", R"({"model":"other"})");
  EXPECT_EQ(writer_.response->status, 404);
}

TEST_F(OllamaDialectTest, EmbedsBothWays) {
  router_.SetEmbeddingScript([](const EmbeddingRequest& request, EmbeddingSink& sink) {
    sink.OnEmbedded({.service = "minilm",
                     .vectors = std::vector<std::vector<float>>(request.inputs.size(), {0.5f, 1}),
                     .prompt_tokens = 3});
  });
  const auto run = [this] {
    for (const auto& turn : std::exchange(turns_, {})) turn();
  };
  Ask("POST", "/api/embed", R"({"model":"minilm","input":["a","b"]})");
  run();
  EXPECT_EQ(Response()["embeddings"], json::parse("[[0.5,1.0],[0.5,1.0]]"));
  EXPECT_EQ(Response()["prompt_eval_count"], 3);
  Ask("POST", "/api/embed", R"({"model":"minilm","input":"a","dimensions":7})");
  run();
  EXPECT_EQ(writer_.response->status, 400);
  Ask("POST", "/api/embeddings", R"({"model":"minilm","prompt":"a"})");
  run();
  EXPECT_EQ(Response(), json::parse(R"({"embedding":[0.5,1.0]})"));
  Ask("POST", "/api/embed", R"({"model":"minilm","input":[]})");
  EXPECT_EQ(Response()["embeddings"], json::array());
}

TEST_F(OllamaDialectTest, TheStoreIsNotThere) {
  for (const char* path :
       {"/api/pull", "/api/push", "/api/create", "/api/copy", "/api/blobs/sha256:00"}) {
    Ask("POST", path, R"({"model":"m"})");
    EXPECT_EQ(writer_.response->status, 501) << path;
    EXPECT_THAT(Response()["error"].get<std::string>(), HasSubstr("not possible here"));
  }
  Ask("DELETE", "/api/delete", R"({"model":"m"})");
  EXPECT_EQ(writer_.response->status, 501);
  Ask("HEAD", "/api/blobs/sha256:00");
  EXPECT_EQ(writer_.response->status, 501);
}

TEST_F(OllamaDialectTest, ErrorsOfThePathAreStrings) {
  Ask("GET", "/api/version");
  EXPECT_TRUE(Response()["version"].is_string());
  Ask("GET", "/api/chat");
  EXPECT_EQ(writer_.response->status, 405);
  EXPECT_TRUE(Response()["error"].is_string());
  Ask("GET", "/api/nothing");
  EXPECT_EQ(writer_.response->status, 404);
  EXPECT_TRUE(Response()["error"].is_string());
  Ask("POST", "/api/chat", "{");
  EXPECT_EQ(writer_.response->status, 400);
  EXPECT_TRUE(Response()["error"].is_string());
}

}  // namespace
}  // namespace spillway
