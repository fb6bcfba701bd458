#include "server/grpc/inference_service.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/bounded_queue.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/inference.grpc.pb.h"
#include "server/auth/token.h"
#include "tests/support/fake_router.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kToken[] = "sk-test";

// A shard's thread.
class Loop {
 public:
  Loop()
      : thread_([this] {
          while (auto turn = turns_.Pop()) (*turn)();
        }) {}
  ~Loop() {
    turns_.Close();
    thread_.join();
  }
  std::function<void(std::function<void()>)> Poster() {
    return [this](std::function<void()> turn) { CHECK(turns_.TryPush(std::move(turn))); };
  }

 private:
  BoundedQueue<std::function<void()>> turns_{10'000};
  std::thread thread_;
};

class InferenceServiceTest : public ::testing::Test {
 protected:
  InferenceServiceTest() {
    router_.SetModels({{"smollm2", 2048, absl::FromUnixSeconds(5)},
                       {"minilm", 256, absl::FromUnixSeconds(5), {}, 384}});
  }
  ~InferenceServiceTest() override {
    if (server_ != nullptr) server_->Stop();
  }

  void Start(InferenceServerOptions options = {}) {
    options.address = "127.0.0.1:0";
    auto server = InferenceServer::Start(
        std::move(options),
        {router_, {{shard_.get(), loop_.Poster()}}, authenticator_, failures_, clock_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    stub_ = v1::Inference::NewStub(channel_);
  }

  static v1::GenerateRequest Chat() {
    v1::GenerateRequest request;
    request.set_model("smollm2");
    v1::Message& message = *request.mutable_chat()->add_messages();
    message.set_role("user");
    message.set_content("say \"hi\"");
    return request;
  }

  // What a call brings, a word for each event.
  struct Answer {
    std::vector<std::string> events;
    grpc::Status status;
    std::string reason;
    std::string retry_ms;
  };
  Answer Ask(const v1::GenerateRequest& request, const std::string& token = kToken) {
    grpc::ClientContext context;
    if (!token.empty()) context.AddMetadata("authorization", token);
    const auto reader = stub_->Generate(&context, request);
    Answer answer;
    for (v1::GenerateEvent event; reader->Read(&event);) answer.events.push_back(Word(event));
    answer.status = reader->Finish();
    for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
      const std::string text(value.data(), value.size());
      if (key == "spillway-reason") answer.reason = text;
      if (key == "retry-after-ms") answer.retry_ms = text;
    }
    return answer;
  }
  static std::string Word(const v1::GenerateEvent& event) {
    switch (event.event_case()) {
      case v1::GenerateEvent::kAccepted:
        return "accepted " + std::to_string(event.accepted().prompt_tokens());
      case v1::GenerateEvent::kStarted:
        return "started " + std::to_string(event.started().cached_tokens());
      case v1::GenerateEvent::kDelta:
        return std::to_string(event.delta().choice()) + " [" + event.delta().reasoning() + "] " +
               event.delta().content();
      case v1::GenerateEvent::kFinished:
        return std::to_string(event.finished().choice()) + " finished " +
               v1::FinishReason_Name(event.finished().reason()) + " " +
               std::to_string(event.finished().completion_tokens());
      case v1::GenerateEvent::EVENT_NOT_SET:
        break;
    }
    return "nothing";
  }

  const SystemClock clock_;
  FakeRouter router_;
  Loop loop_;
  std::unique_ptr<RouterShard> shard_ = router_.MakeShard(loop_.Poster());
  Authenticator authenticator_{{Sha256Hex(kToken)}, clock_};
  FailureLimiter failures_{FailureLimits()};
  std::unique_ptr<InferenceServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Inference::Stub> stub_;
};

TEST_F(InferenceServiceTest, TellsAnAnswerAsItComes) {
  Start();
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnAccepted(7);
    sink.OnStarted(3);
    sink.OnBatchEnd();
    sink.OnDelta(0, {.content = "", .reasoning = "hm"}, 1);
    sink.OnDelta(0, {.content = "Hi"}, 1);
    sink.OnDelta(1, {.content = "Ho"}, 1);
    sink.OnBatchEnd();
    sink.OnFinished(1, FinishReason::kLength, {.completion_tokens = 1});
    sink.OnFinished(0, FinishReason::kStop, {.completion_tokens = 2});
  });
  v1::GenerateRequest request = Chat();
  request.set_choices(2);
  request.set_temperature(0.5f);
  request.set_seed(0);
  request.set_max_tokens(9);
  request.add_stop("END");
  const Answer answer = Ask(request);
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_EQ(router_.requests().size(), 1u);
  const GenerateRequest seen = router_.requests()[0];
  EXPECT_EQ(std::get<ChatPrompt>(seen.prompt).messages_json,
            R"([{"role":"user","content":"say \"hi\""}])");
  EXPECT_EQ(seen.choices, 2);
  EXPECT_EQ(seen.sampling.temperature, 0.5f);
  EXPECT_EQ(seen.sampling.top_p, std::nullopt);
  EXPECT_EQ(seen.sampling.seed, 0u);
  EXPECT_EQ(seen.new_tokens_max, 9);
  EXPECT_THAT(seen.stop_strings, ElementsAre("END"));
  EXPECT_EQ(seen.token_name, "default");
  EXPECT_EQ(seen.request_id.size(), 24u);
  // What waited together may have come together.
  std::string text;
  for (const std::string& event : answer.events) text += event + "\n";
  EXPECT_THAT(text, HasSubstr("accepted 7\nstarted 3\n0 [hm] Hi\n1 [] Ho\n"
                              "1 finished FINISH_REASON_LENGTH 1\n"
                              "0 finished FINISH_REASON_STOP 2\n"));
}

TEST_F(InferenceServiceTest, AsksForAToken) {
  Start();
  EXPECT_EQ(Ask(Chat(), "").status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Ask(Chat(), "Bearer sk-wrong").status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(router_.requests().empty());
  grpc::ClientContext context;
  v1::ListModelsReply reply;
  EXPECT_EQ(stub_->ListModels(&context, {}, &reply).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(InferenceServiceTest, AnErrorHasItsStatusReasonAndRetry) {
  Start();
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnAccepted(7);
    sink.OnFailed({.status = absl::UnavailableError("gone"),
                   .reason = "worker_lost",
                   .retry_after = absl::Seconds(2)});
  });
  const Answer answer = Ask(Chat(), std::string("Bearer ") + kToken);
  EXPECT_THAT(answer.events, ElementsAre("accepted 7"));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(answer.status.error_message(), "gone");
  EXPECT_EQ(answer.reason, "worker_lost");
  EXPECT_EQ(answer.retry_ms, "2000");
}

TEST_F(InferenceServiceTest, NamesWhatIsWrongWithARequest) {
  Start();
  const auto complaint = [this](const std::function<void(v1::GenerateRequest&)>& change) {
    v1::GenerateRequest request = Chat();
    change(request);
    const Answer answer = Ask(request);
    EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(answer.reason, "invalid_request");
    return answer.status.error_message();
  };
  EXPECT_EQ(complaint([](auto& request) { request.clear_chat(); }),
            "there is no prompt; give chat, text or token_ids");
  EXPECT_EQ(complaint([](auto& request) { request.mutable_chat()->clear_messages(); }),
            "chat.messages is empty; a message is needed");
  EXPECT_EQ(complaint([](auto& request) { request.set_choices(17); }),
            "choices is 17; this server takes 1 to 16");
  EXPECT_EQ(complaint([](auto& request) { request.set_max_tokens(-1); }),
            "max_tokens is -1; this server takes 0 to 16777216");
  EXPECT_EQ(complaint([](auto& request) { request.add_stop(""); }),
            "stop has a string of 0 bytes; 1 to 1024 are taken");
  EXPECT_EQ(complaint([](auto& request) {
              for (int i = 0; i < 17; ++i) request.add_stop("x");
            }),
            "stop has 17 entries; this server takes up to 16");
  EXPECT_EQ(
      complaint([](auto& request) { request.mutable_chat()->set_template_kwargs_json("[1]"); }),
      "chat.template_kwargs_json is no JSON object");
  EXPECT_TRUE(router_.requests().empty());
}

TEST_F(InferenceServiceTest, AClientThatLeavesCancels) {
  Start();
  grpc::ClientContext context;
  context.AddMetadata("authorization", kToken);
  const auto reader = stub_->Generate(&context, Chat());
  ASSERT_TRUE(router_.WaitForSubmits(1));
  EXPECT_EQ(server_->calls_in_flight(), 1);
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(router_.WaitForCancels(1));
}

TEST_F(InferenceServiceTest, AClientThatDoesNotReadIsGivenUp) {
  Start({.unsent_bytes_max = size_t{1} << 20});
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnAccepted(7);
    // Different choices, so that nothing is put together.
    for (int i = 0; i < 200; ++i) {
      sink.OnDelta(i % 2, {.content = std::string(100'000, 'x')}, 1);
      sink.OnBatchEnd();
    }
  });
  grpc::ClientContext context;
  context.AddMetadata("authorization", kToken);
  const auto reader = stub_->Generate(&context, Chat());
  EXPECT_TRUE(router_.WaitForCancels(1));
  v1::GenerateEvent event;
  while (reader->Read(&event)) {
  }
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("reads too slowly"));
}

TEST_F(InferenceServiceTest, TheCallersDeadlineIsTheRequests) {
  Start();
  grpc::ClientContext context;
  context.AddMetadata("authorization", kToken);
  context.AddMetadata("x-request-id", "mine-1");
  context.set_deadline(absl::ToChronoTime(clock_.WallNow() + absl::Seconds(100)));
  const auto reader = stub_->Generate(&context, Chat());
  ASSERT_TRUE(router_.WaitForSubmits(1));
  const GenerateRequest seen = router_.requests()[0];
  EXPECT_LE(seen.timeout, absl::Seconds(102));  // gRPC sends it in whole units, rounded up
  EXPECT_GT(seen.timeout, absl::Seconds(80));
  EXPECT_EQ(seen.request_id, "mine-1");
  context.TryCancel();
  reader->Finish();
}

TEST_F(InferenceServiceTest, ListsTheModels) {
  Start();
  grpc::ClientContext context;
  context.AddMetadata("authorization", kToken);
  v1::ListModelsReply reply;
  EXPECT_TRUE(stub_->ListModels(&context, {}, &reply).ok());
  ASSERT_EQ(reply.models_size(), 2);
  EXPECT_EQ(reply.models(0).name(), "smollm2");
  EXPECT_EQ(reply.models(0).context_tokens_max(), 2048);
  EXPECT_EQ(reply.models(1).embedding_size(), 384);
}

TEST_F(InferenceServiceTest, StopsWithACallUnderWay) {
  Start({.stop_max = absl::Milliseconds(50)});
  grpc::ClientContext context;
  context.AddMetadata("authorization", kToken);
  const auto reader = stub_->Generate(&context, Chat());
  ASSERT_TRUE(router_.WaitForSubmits(1));
  server_->Stop();
  EXPECT_FALSE(reader->Finish().ok());
  EXPECT_TRUE(router_.WaitForCancels(1));
}

TEST_F(InferenceServiceTest, SaysThatAPortIsTaken) {
  Start();
  const auto second = InferenceServer::Start(
      {.address = server_->address()},
      {router_, {{shard_.get(), loop_.Poster()}}, authenticator_, failures_, clock_});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server_->address()));
}

}  // namespace
}  // namespace spillway
