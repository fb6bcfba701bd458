// The whole router against workers that make embeddings, over real gRPC.

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "common/check.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.grpc.pb.h"
#include "tests/router/router_fixture.h"

namespace spillway {
namespace {

namespace wire = worker::v1;

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Its vectors have one number, the length of the text. It takes two texts at once.
class EmbeddingWorker final : public wire::Worker::Service {
 public:
  explicit EmbeddingWorker(const std::string& path) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }
  ~EmbeddingWorker() override { Kill(); }

  void Kill() {
    server_->Shutdown(gpr_time_0(GPR_CLOCK_REALTIME));
    server_->Wait();
  }

  grpc::Status Describe(grpc::ServerContext*, const wire::DescribeRequest*,
                        wire::WorkerDescription* reply) override {
    reply->set_model_name("minilm");
    reply->set_context_tokens_max(256);
    reply->add_capabilities(wire::CAPABILITY_EMBED);
    reply->set_embedding_size(1);
    reply->set_embed_inputs_max(2);
    return grpc::Status::OK;
  }

  grpc::Status Embed(grpc::ServerContext* context, const wire::EmbedRequest* request,
                     wire::EmbedReply* reply) override {
    ++calls;
    MutexLock lock(mutex_);
    while (hold && !context->IsCancelled()) changed_.WaitFor(mutex_, absl::Milliseconds(10));
    for (const wire::EmbedInput& input : request->inputs()) {
      wire::Embedding& embedding = *reply->add_embeddings();
      if (!says_nothing) embedding.add_values(static_cast<float>(input.text().size()));
      embedding.set_prompt_tokens(1);
    }
    if (context->IsCancelled()) cancelled = true;
    return grpc::Status::OK;
  }

  std::atomic<bool> hold = false;
  std::atomic<bool> says_nothing = false;
  std::atomic<bool> cancelled = false;
  std::atomic<int> calls = 0;

 private:
  Mutex mutex_;
  CondVar changed_;
  std::unique_ptr<grpc::Server> server_;
};

struct RecordingEmbeddingSink : EmbeddingSink {
  void OnEmbedded(const EmbeddingAnswer& told) override { answer = told; }
  void OnEmbeddingFailed(const GenerateError& told) override { error = told; }
  bool ended() const { return answer.has_value() || error.has_value(); }
  std::optional<EmbeddingAnswer> answer;
  std::optional<GenerateError> error;
};

class RouterEmbeddingTest : public RouterTest {
 protected:
  void AddEmbedder() {
    Make();
    const std::string path = dir_.Path("embedder.sock");
    worker_ = std::make_unique<EmbeddingWorker>(path);
    router_->AddReplica("embedder", "unix:" + path, "");
    ASSERT_TRUE(PumpUntil([&] { return Replica("embedder").ready; }));
  }
  RequestId Embed(std::vector<EmbeddingInput> inputs, const std::string& model = "") {
    return shard_->Embed({.model = model, .inputs = std::move(inputs), .timeout = kPatience},
                         sink_);
  }

  std::unique_ptr<EmbeddingWorker> worker_;
  RecordingEmbeddingSink sink_;
};

TEST_F(RouterEmbeddingTest, GivesTextsToAWorkerInPartsThatItTakes) {
  AddEmbedder();
  Embed({"a", "bb", "ccc", "dddd", "eeeee"});
  ASSERT_TRUE(PumpUntil([&] { return sink_.ended(); }));
  ASSERT_TRUE(sink_.answer.has_value()) << sink_.error->status;
  EXPECT_THAT(sink_.answer->vectors, ElementsAre(ElementsAre(1), ElementsAre(2), ElementsAre(3),
                                                 ElementsAre(4), ElementsAre(5)));
  EXPECT_EQ(sink_.answer->prompt_tokens, 5);
  EXPECT_EQ(worker_->calls, 3);
  EXPECT_EQ(shard_->requests_in_flight(), 0);
  const std::vector<ModelInfo> models = router_->Models();
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].embedding_size, 1);
}

TEST_F(RouterEmbeddingTest, EachKindOfRequestFindsItsModel) {
  AddEmbedder();
  GenerateRequest chat;
  chat.prompt = std::string("hi");
  EXPECT_EQ(Refusal(chat), "invalid_request");
  AddWorker("worker-0");
  Embed({"a"});
  ASSERT_TRUE(PumpUntil([&] { return sink_.ended(); }));
  EXPECT_EQ(sink_.answer->service, "minilm");
  RecordingSink text;
  Submit(text, chat);
  ASSERT_TRUE(PumpUntilEnded(text));
  EXPECT_FALSE(text.error.has_value());
  sink_ = {};
  Embed({"a"}, "tiny-model");
  ASSERT_TRUE(PumpUntil([&] { return sink_.ended(); }));
  EXPECT_EQ(sink_.error->field, "model");
}

TEST_F(RouterEmbeddingTest, AClientThatLeavesEndsTheCall) {
  AddEmbedder();
  worker_->hold = true;
  const RequestId id = Embed({"a"});
  ASSERT_TRUE(PumpUntil([&] { return worker_->calls == 1; }));
  shard_->Cancel(id);
  EXPECT_TRUE(PumpUntil([&] { return worker_->cancelled.load(); }));
  EXPECT_FALSE(sink_.ended());
  EXPECT_EQ(shard_->requests_in_flight(), 0);
}

TEST_F(RouterEmbeddingTest, AWorkerThatDiesIsToldAndLost) {
  AddEmbedder();
  worker_->hold = true;
  Embed({"a"});
  ASSERT_TRUE(PumpUntil([&] { return worker_->calls == 1; }));
  worker_->Kill();
  ASSERT_TRUE(PumpUntil([&] { return sink_.ended(); }));
  EXPECT_EQ(sink_.error->reason, "worker_lost");
  EXPECT_TRUE(PumpUntil([&] { return !Replica("embedder").ready; }));
}

TEST_F(RouterEmbeddingTest, AnAnswerThatIsNoneIsNotBelieved) {
  AddEmbedder();
  worker_->says_nothing = true;
  Embed({"a"});
  ASSERT_TRUE(PumpUntil([&] { return sink_.ended(); }));
  EXPECT_EQ(sink_.error->reason, "internal");
  EXPECT_THAT(std::string(sink_.error->status.message()), HasSubstr("empty vector"));
}

TEST_F(RouterEmbeddingTest, TheRouterStopsWithACallUnderWay) {
  AddEmbedder();
  worker_->hold = true;
  Embed({"a"});
  ASSERT_TRUE(PumpUntil([&] { return worker_->calls == 1; }));
  router_->Shutdown();
  ASSERT_TRUE(PumpUntil([&] { return sink_.ended(); }));
  EXPECT_EQ(sink_.error->reason, "draining");
}

}  // namespace
}  // namespace spillway
