// The OpenAI dialect over real sockets, in front of a router that does what the test says.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/dialects/openai_dialect.h"
#include "server/dialects/openai_error.h"
#include "server/http/http_server.h"
#include "server/http/route_table.h"
#include "tests/support/fake_router.h"
#include "tests/support/socket_client.h"

namespace spillway {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Chat(const std::string& fields) {
  const std::string body = R"({"messages":[{"role":"user","content":"hi"}])" + fields + "}";
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nx-request-id: id-1\r\n" +
         "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n" + body;
}

class RecordingObserver : public RequestObserver {
 public:
  void OnRequestEnd(const RequestSummary& summary) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    heard_ = absl::StrCat(std::string(summary.request_id), " ", std::string(summary.token), " ",
                          std::string(summary.outcome), " ", summary.http_status);
  }
  std::string heard() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return heard_;
  }

 private:
  mutable Mutex mutex_;
  std::string heard_ GUARDED_BY(mutex_);
};

class OpenAiHttpTest : public ::testing::Test {
 protected:
  OpenAiHttpTest() {
    HttpServerOptions options;
    options.listeners = {{.address = "127.0.0.1:0"}};
    server_ = std::make_unique<HttpServer>(options, clock_, metrics_);
    shard_ = router_.MakeShard(server_->Poster(0));
    OpenAiOptions openai;
    openai.observer = &observer_;
    dialect_ = std::make_unique<OpenAiDialect>(openai, router_, *shard_, clock_);
    dialect_->AddRoutes(routes_);
    server_->SetHandler(0, routes_);
    router_.SetModels({{"smollm2", 2048, absl::FromUnixSeconds(5), {"cpu-1-ab", "cpu-2-ab"}},
                       {"org/other:q4", 4096, absl::FromUnixSeconds(6)}});
    CHECK(server_->Start().ok());
    address_ = server_->bound_addresses().at(0);
  }
  ~OpenAiHttpTest() override { server_->Stop(); }

  SystemClock clock_;
  MetricRegistry metrics_;
  FakeRouter router_;
  RecordingObserver observer_;
  RouteTable routes_{[](HttpRequest& request, TokenRule) -> std::optional<HttpResponse> {
                       request.tenant = "tenant-1";
                       request.token_name = "token-1";
                       return std::nullopt;
                     },
                     FormatOpenAiError};
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<RouterShard> shard_;
  std::unique_ptr<OpenAiDialect> dialect_;
  std::string address_;
};

TEST_F(OpenAiHttpTest, StreamsAChat) {
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnAccepted(3);
    sink.OnStarted(0);
    sink.OnDelta(0, {"Hello"}, 1);
    sink.OnBatchEnd();
    sink.OnFinished(0, FinishReason::kStop, {.prompt_tokens = 3, .completion_tokens = 1});
  });
  SocketClient client(address_);
  client.Send(Chat(R"(,"stream":true)"));
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Type: text/event-stream"));
  EXPECT_THAT(head, HasSubstr("Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"));
  EXPECT_THAT(head, HasSubstr("x-request-id: id-1\r\n"));
  const std::string body = client.ReadUntil("0\r\n\r\n");
  EXPECT_THAT(body, HasSubstr("\"content\":\"Hello\""));
  EXPECT_THAT(body, HasSubstr("\"model\":\"smollm2\""));
  EXPECT_THAT(body, EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  const std::vector<GenerateRequest> requests = router_.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].request_id, "id-1");
  EXPECT_EQ(requests[0].tenant, "tenant-1");
  EXPECT_EQ(requests[0].token_name, "token-1");
  EXPECT_EQ(requests[0].traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_EQ(requests[0].model, "");
}

TEST_F(OpenAiHttpTest, AnswersAWholeChatAndKeepsTheConnection) {
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnAccepted(3);
    sink.OnStarted(0);
    sink.OnDelta(0, {"Hello"}, 1);
    sink.OnFinished(0, FinishReason::kStop, {.prompt_tokens = 3, .completion_tokens = 1});
  });
  SocketClient client(address_);
  for (int i = 0; i < 2; ++i) {
    client.Send(Chat(R"(,"model":"mine")"));
    const std::string response = client.ReadResponse();
    EXPECT_THAT(response, HasSubstr("Content-Type: application/json\r\n"));
    EXPECT_THAT(response, HasSubstr("\"model\":\"mine\""));
    EXPECT_THAT(response, HasSubstr("\"content\":\"Hello\""));
  }
}

TEST_F(OpenAiHttpTest, BrokenStreamHasNoDoneAndNoLastChunk) {
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnAccepted(3);
    sink.OnStarted(0);
    sink.OnDelta(0, {"Hel"}, 1);
    sink.OnBatchEnd();
    sink.OnFailed({absl::UnavailableError("gone"), "worker_lost"});
  });
  SocketClient client(address_);
  client.Send(Chat(R"(,"stream":true)"));
  const std::string all = client.ReadToEnd();
  EXPECT_THAT(all, HasSubstr("data: {\"error\":"));
  EXPECT_THAT(all, Not(HasSubstr("[DONE]")));
  EXPECT_THAT(all, Not(HasSubstr("\r\n0\r\n")));
}

TEST_F(OpenAiHttpTest, HangingUpCancelsAStream) {
  SocketClient client(address_);
  client.Send(Chat(R"(,"stream":true)"));
  ASSERT_TRUE(router_.WaitForSubmits(1));
  router_.Drive(0, [](ResponseSink& sink) {
    sink.OnAccepted(3);
    sink.OnStarted(0);
    sink.OnBatchEnd();
  });
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  client.Close();
  EXPECT_TRUE(router_.WaitForCancels(1));
}

TEST_F(OpenAiHttpTest, HangingUpCancelsAWait) {
  SocketClient client(address_);
  client.Send(Chat(""));
  ASSERT_TRUE(router_.WaitForSubmits(1));
  client.Close();
  EXPECT_TRUE(router_.WaitForCancels(1));
}

TEST_F(OpenAiHttpTest, NothingIsSentBeforeTheRequestIsAccepted) {
  SocketClient client(address_);
  client.Send(Chat(R"(,"stream":true)"));
  ASSERT_TRUE(router_.WaitForSubmits(1));
  router_.Drive(0, [](ResponseSink& sink) {
    sink.OnFailed({absl::NotFoundError("model \"x\" not found"), "model_not_found"});
  });
  const std::string response = client.ReadResponse();
  EXPECT_THAT(response, StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(response, HasSubstr("\"param\":\"model\",\"code\":\"model_not_found\""));
}

TEST_F(OpenAiHttpTest, TheObserverHearsOfWhatNeverReachesTheRouter) {
  SocketClient client(address_);
  client.Send(Chat(R"(,"temperature":7)"));
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(observer_.heard(), "id-1 token-1 invalid_request 400");
  EXPECT_TRUE(router_.requests().empty());
}

TEST_F(OpenAiHttpTest, AnAnswerWithoutAModelNamesOneThatGenerates) {
  router_.SetModels({{.name = "minilm", .embedding_size = 384}, {.name = "smollm2"}});
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnAccepted(3);
    sink.OnStarted(0);
    sink.OnFinished(0, FinishReason::kStop, {});
  });
  SocketClient client(address_);
  client.Send(Chat(""));
  EXPECT_THAT(client.ReadResponse(), HasSubstr("\"model\":\"smollm2\""));
}

TEST_F(OpenAiHttpTest, ListsAndDescribesModels) {
  SocketClient client(address_);
  client.Send("GET /v1//models?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(
      client.ReadResponse(),
      EndsWith(
          "{\"object\":\"list\",\"data\":[{\"id\":\"smollm2\",\"object\":\"model\","
          "\"created\":5,\"owned_by\":\"spillway\",\"max_model_len\":2048,"
          "\"numerics_ids\":[\"cpu-1-ab\",\"cpu-2-ab\"],\"capabilities\":[\"completion\"]},{\"id\":"
          "\"org/other:q4\",\"object\":\"model\",\"created\":6,\"owned_by\":"
          "\"spillway\",\"max_model_len\":4096,\"numerics_ids\":[],\"capabilities\":["
          "\"completion\"]}]}"));
  client.Send("GET /v1/models/org/other:q4 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(), HasSubstr("{\"id\":\"org/other:q4\""));
  client.Send("GET /v1/models/nope HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string missing = client.ReadResponse();
  EXPECT_THAT(missing, StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(missing, HasSubstr("this server has: smollm2, org/other:q4"));
}

TEST_F(OpenAiHttpTest, ErrorsOfTheServerHaveTheDialectsShape) {
  SocketClient client(address_);
  client.Send("GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(
      client.ReadResponse(),
      HasSubstr("\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"unknown_url\""));
  client.Send("GET /v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 405"));
  client.Send("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{a}");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 400"));
}

}  // namespace
}  // namespace spillway
