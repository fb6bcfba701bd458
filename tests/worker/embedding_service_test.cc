// The service over real gRPC, with the real engine on its thread and a model that counts.

#include "worker/embedding_service.h"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/check.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/worker.grpc.pb.h"
#include "tests/support/byte_vocabulary.h"
#include "tests/support/socket_dir.h"

namespace spillway {
namespace {

namespace wire = worker::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kTextTokensMax = 10;
constexpr int32_t kVectorSize = 2;

// A passage that a test may close.
class Gate {
 public:
  void Close() {
    MutexLock lock(mutex_);
    open_ = false;
  }
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  void Pass() {
    MutexLock lock(mutex_);
    ++arrived_;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(mutex_);
  }
  // Until so many have come, by then or before.
  void WaitForArrivals(int count) {
    MutexLock lock(mutex_);
    while (arrived_ < count) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = true;
  int arrived_ GUARDED_BY(mutex_) = 0;
};

// A worker whose vectors are (tokens of the text, its second token), and a client of it.
class ServedEncoder {
 public:
  explicit ServedEncoder(const EmbeddingServiceLimits& limits = {},
                         const EmbeddingQueueLimits& queue = {})
      : engine_(queue, 2 * kTextTokensMax, kVectorSize,
                [this](std::span<const std::span<const TokenId>> texts, float* vectors) {
                  gate_.Pass();
                  for (const std::span<const TokenId> text : texts) {
                    *vectors++ = static_cast<float>(text.size());
                    *vectors++ = static_cast<float>(text[1]);
                  }
                }),
        service_(limits,
                 {.identity = {.model_name = "counter"},
                  .text_tokens_max = kTextTokensMax,
                  .vocabulary_size = kByteVocabularySize,
                  .vector_size = kVectorSize},
                 tokenizer_, engine_) {
    const std::string address = "unix:" + folder_.Path("worker.sock");
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(&service_.service());
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
    stub_ = wire::Worker::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }
  ~ServedEncoder() {
    gate_.Open();
    engine_.Stop();
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  grpc::Status Embed(const wire::EmbedRequest& request, wire::EmbedReply& reply) {
    grpc::ClientContext context;
    return stub_->Embed(&context, request, &reply);
  }
  grpc::Status Embed(const std::vector<std::string>& texts) {
    wire::EmbedRequest request;
    for (const std::string& text : texts) request.add_inputs()->set_text(text);
    wire::EmbedReply reply;
    return Embed(request, reply);
  }
  wire::Worker::Stub& stub() { return *stub_; }
  EmbeddingEngine& engine() { return engine_; }
  EmbeddingService& service() { return service_; }
  Gate& gate() { return gate_; }

 private:
  const std::unique_ptr<Tokenizer> bytes_ = *Tokenizer::Create(ByteVocabulary());
  const EmbeddingTokenizer tokenizer_{
      *bytes_, {kByteVocabularyStart}, {kByteVocabularyEnd}, kTextTokensMax};
  SocketDir folder_;
  Gate gate_;
  EmbeddingEngine engine_;
  EmbeddingService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<wire::Worker::Stub> stub_;
};

TEST(EmbeddingServiceTest, EachInputHasItsVector) {
  ServedEncoder encoder;
  wire::EmbedRequest request;
  request.add_inputs()->set_text("abc");
  request.add_inputs()->mutable_token_ids()->add_ids(7);
  request.mutable_inputs(1)->mutable_token_ids()->add_ids(9);
  request.add_inputs()->set_text("x");
  wire::EmbedReply reply;

  const grpc::Status status = encoder.Embed(request, reply);

  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(reply.embeddings_size(), 3);
  EXPECT_THAT(reply.embeddings(0).values(), ElementsAre(5, 'a'));
  EXPECT_THAT(reply.embeddings(1).values(), ElementsAre(2, 9));
  EXPECT_THAT(reply.embeddings(2).values(), ElementsAre(3, 'x'));
  EXPECT_EQ(reply.embeddings(0).prompt_tokens(), 5);
  EXPECT_FALSE(reply.embeddings(0).truncated());
}

TEST(EmbeddingServiceTest, TooLongATextIsRefusedOrCut) {
  ServedEncoder encoder;
  wire::EmbedRequest request;
  request.add_inputs()->set_text("fine");
  request.add_inputs()->set_text("abcdefghijk");
  wire::EmbedReply reply;
  const grpc::Status status = encoder.Embed(request, reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("input 1: the text has 13 tokens"));

  request.set_truncate(true);
  reply.Clear();
  ASSERT_TRUE(encoder.Embed(request, reply).ok());
  EXPECT_FALSE(reply.embeddings(0).truncated());
  EXPECT_TRUE(reply.embeddings(1).truncated());
  EXPECT_EQ(reply.embeddings(1).prompt_tokens(), kTextTokensMax);
}

TEST(EmbeddingServiceTest, RequestsAreBounded) {
  ServedEncoder encoder({.inputs_max = 3, .input_bytes_max = 100});
  EXPECT_EQ(encoder.Embed({}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(encoder.Embed({"a", "b", "c"}).ok());
  EXPECT_THAT(encoder.Embed({"a", "b", "c", "d"}).error_message(), HasSubstr("beyond 1 to 3"));
  EXPECT_THAT(encoder.Embed({"a", std::string(101, 'x')}).error_message(),
              HasSubstr("input 1 has 101 bytes, beyond the limit of 100"));
  // A reply of two vectors has room in 48 bytes, one of three doesn't.
  ServedEncoder small({.reply_bytes_max = 48});
  EXPECT_TRUE(small.Embed({"a", "b"}).ok());
  EXPECT_FALSE(small.Embed({"a", "b", "c"}).ok());
}

TEST(EmbeddingServiceTest, AFullQueueRefuses) {
  ServedEncoder encoder({}, {.jobs_max = 1});
  encoder.gate().Close();
  std::thread first([&] { EXPECT_TRUE(encoder.Embed({"a"}).ok()); });
  encoder.gate().WaitForArrivals(1);

  EXPECT_EQ(encoder.Embed({"b"}).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);

  encoder.gate().Open();
  first.join();
  EXPECT_TRUE(encoder.Embed({"c"}).ok());
}

TEST(EmbeddingServiceTest, AClientThatLeftCostsNoPass) {
  ServedEncoder encoder;
  encoder.gate().Close();
  std::thread first([&] { EXPECT_TRUE(encoder.Embed({"a"}).ok()); });
  encoder.gate().WaitForArrivals(1);
  grpc::ClientContext context;
  std::thread leaver([&] {
    wire::EmbedRequest request;
    request.add_inputs()->set_text("b");
    wire::EmbedReply reply;
    EXPECT_EQ(encoder.stub().Embed(&context, request, &reply).error_code(),
              grpc::StatusCode::CANCELLED);
  });
  while (encoder.engine().load().jobs < 2) std::this_thread::yield();
  context.TryCancel();
  leaver.join();

  encoder.gate().Open();
  first.join();

  // One more, which the engine takes after all that came before.
  EXPECT_TRUE(encoder.Embed({"c"}).ok());
  EXPECT_LE(encoder.engine().load().passes, 3u);
}

TEST(EmbeddingServiceTest, ADrainingWorkerTakesNothingNew) {
  ServedEncoder encoder;
  wire::ControlRequest request;
  request.set_drain(true);
  wire::ControlReply reply;
  grpc::ClientContext context;
  ASSERT_TRUE(encoder.stub().Control(&context, request, &reply).ok());
  EXPECT_TRUE(reply.load().draining());
  EXPECT_EQ(encoder.Embed({"a"}).error_code(), grpc::StatusCode::UNAVAILABLE);
  encoder.service().SetDraining(false);
  EXPECT_TRUE(encoder.Embed({"a"}).ok());
}

TEST(EmbeddingServiceTest, AStoppedEngineFailsWhatIsLeft) {
  ServedEncoder encoder;
  encoder.gate().Close();
  std::thread first([&] { EXPECT_TRUE(encoder.Embed({"a"}).ok()); });
  encoder.gate().WaitForArrivals(1);
  std::thread second(
      [&] { EXPECT_EQ(encoder.Embed({"b"}).error_code(), grpc::StatusCode::UNAVAILABLE); });
  while (encoder.engine().load().jobs < 2) std::this_thread::yield();
  // Stop() waits for the pass that runs, so the gate opens beside it.
  std::thread opener([&] {
    while (!encoder.engine().load().stopping) std::this_thread::yield();
    encoder.gate().Open();
  });
  encoder.engine().Stop();
  opener.join();
  first.join();
  second.join();
}

TEST(EmbeddingServiceTest, DescribeTellsThatItEmbeds) {
  ServedEncoder encoder;
  wire::WorkerDescription description;
  grpc::ClientContext context;
  ASSERT_TRUE(encoder.stub().Describe(&context, {}, &description).ok());
  EXPECT_EQ(description.model_name(), "counter");
  EXPECT_THAT(description.capabilities(), ElementsAre(wire::CAPABILITY_EMBED));
  EXPECT_EQ(description.embedding_size(), kVectorSize);
  EXPECT_EQ(description.embed_inputs_max(), 2048);
  EXPECT_EQ(description.context_tokens_max(), kTextTokensMax);
}

TEST(EmbeddingServiceTest, WhatTextModelsDoIsRefusedByName) {
  ServedEncoder encoder;
  wire::RenderReply reply;
  grpc::ClientContext context;
  const grpc::Status render = encoder.stub().Render(&context, {}, &reply);
  EXPECT_EQ(render.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(render.error_message(), HasSubstr("embedding model"));
  grpc::ClientContext stream_context;
  const auto stream = encoder.stub().Attach(&stream_context);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace spillway
