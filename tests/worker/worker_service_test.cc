// The service over real gRPC: a unix socket, a real client stream, the real scheduler and engine
// loop on their own threads, and a fake device.

#include "worker/worker_service.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/check.h"
#include "common/clock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/worker.grpc.pb.h"
#include "tests/support/byte_vocabulary.h"
#include "tests/support/fake_executor.h"
#include "worker/text/chat_template.h"

namespace spillway {
namespace {

namespace wire = worker::v1;

TokenId Alphabet(std::span<const TokenId> tokens) {
  return tokens.back() == 'z' ? kByteVocabularyEnd : tokens.back() + 1;
}

// Never ends by itself.
TokenId Forever(std::span<const TokenId>) { return '.'; }

constexpr ExecutorShape kShape = {.running_max = 8,
                                  .step_tokens_max = 4096,
                                  .block_tokens = 16,
                                  .block_count = 1 << 16,
                                  .sequence_tokens_max = 1 << 20,
                                  .vocabulary_size = kByteVocabularySize};

SchedulerLimits LimitsOfShape() {
  SchedulerLimits limits;
  limits.running_max = kShape.running_max;
  limits.step_tokens_max = kShape.step_tokens_max;
  limits.block_tokens = kShape.block_tokens;
  limits.block_count = kShape.block_count;
  limits.sequence_tokens_max = kShape.sequence_tokens_max;
  return limits;
}

WorkerInfo Info(int32_t context_tokens_max) {
  WorkerInfo info;
  info.identity.model_name = "alphabet";
  info.context_tokens_max = context_tokens_max;
  return info;
}

// A worker with all its threads, and a client of it.
class ServedWorker {
 public:
  explicit ServedWorker(FakeExecutor::Model model, int32_t context_tokens_max = 1 << 20,
                        WorkerServiceLimits limits = {})
      : executor_(kShape, std::move(model)),
        service_(limits, Info(context_tokens_max), prompts_, *tokenizer_, clock_),
        engine_({}, LimitsOfShape(), executor_, *tokenizer_, clock_, service_) {
    std::string folder = "/tmp/spillway-service-XXXXXX";
    CHECK(mkdtemp(folder.data()) != nullptr);
    folder_ = folder;
    address_ = "unix:" + folder + "/worker.sock";
    service_.Connect(engine_);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&service_.service());
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
    engine_thread_ = std::thread([this] { engine_.Run().IgnoreError(); });
    stub_ =
        wire::Worker::NewStub(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  }

  ~ServedWorker() {
    engine_.Stop();
    engine_thread_.join();
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    std::filesystem::remove_all(folder_);
  }

  wire::Worker::Stub& stub() { return *stub_; }
  // One whose side of the connection takes few bytes before it has read them.
  std::unique_ptr<wire::Worker::Stub> StubWithLittleRoom() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1024);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return wire::Worker::NewStub(
        grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments));
  }
  WorkerService& service() { return service_; }

 private:
  const SystemClock clock_;
  const std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
  const std::unique_ptr<ChatTemplate> template_ = *ChatTemplate::Parse(
      "{% for m in messages %}<|start|>{{ m.content }}{% endfor %}", "", "<|end|>");
  const PromptBuilder prompts_{*tokenizer_, template_.get()};
  FakeExecutor executor_;
  WorkerService service_;
  EngineLoop engine_;
  std::string folder_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
  std::thread engine_thread_;
  std::unique_ptr<wire::Worker::Stub> stub_;
};

// One Attach stream, read until what a test waits for has come.
class Attached {
 public:
  struct Heard {
    std::string text;
    std::vector<wire::TokenLogprobs> logprobs;
    bool accepted = false;
    std::optional<wire::Finished> finished;
    std::optional<wire::Failed> failed;
    bool over() const { return finished.has_value() || failed.has_value(); }
  };

  // `acks`: every frame at once; else none.
  explicit Attached(ServedWorker& worker, const std::string& router_id = "test", bool acks = true)
      : worker_(worker), router_id_(router_id), acks_(acks) {
    Attach({});
  }
  ~Attached() { Break(); }

  // Attaches again, and still wants `live`; the worker's answer.
  wire::Welcome AttachAgain(const std::vector<uint64_t>& live) {
    Break();
    Attach(live);
    if (live.empty()) frames_ = 0;
    wire::WorkerFrame frame;
    EXPECT_TRUE(stream_->Read(&frame));
    EXPECT_TRUE(frame.has_welcome());
    return frame.welcome();
  }

  void Break() {
    context_->TryCancel();
    stream_->Finish();
  }

  void Submit(uint64_t id, const wire::GenerateSpec& spec) {
    wire::RouterFrame frame;
    frame.mutable_submit()->set_sequence_id(id);
    *frame.mutable_submit()->mutable_spec() = spec;
    EXPECT_TRUE(stream_->Write(frame));
  }

  void SubmitInParts(uint64_t id, const wire::GenerateSpec& spec, size_t part_bytes) {
    const std::string bytes = spec.SerializeAsString();
    for (size_t begin = 0; begin < bytes.size(); begin += part_bytes) {
      wire::RouterFrame frame;
      wire::SubmitPart& part = *frame.mutable_submit_part();
      part.set_sequence_id(id);
      part.set_spec_bytes(bytes.substr(begin, part_bytes));
      part.set_last(begin + part_bytes >= bytes.size());
      EXPECT_TRUE(stream_->Write(frame));
    }
  }

  void Cancel(uint64_t id) {
    wire::RouterFrame frame;
    frame.mutable_cancel()->set_sequence_id(id);
    EXPECT_TRUE(stream_->Write(frame));
  }

  // Reads frames until `done`; false when the stream ends first.
  bool ReadUntil(const std::function<bool()>& done) {
    wire::WorkerFrame frame;
    while (!done()) {
      if (!stream_->Read(&frame)) return false;
      if (frame.frame_number() == 0) {
        EXPECT_EQ(frame.events_size(), 0);
        ++unnumbered_;
        continue;
      }
      EXPECT_EQ(frame.frame_number(), ++frames_);
      if (acks_) Acknowledge();
      load_ = frame.load();
      largest_frame_ = std::max(largest_frame_, frame.ByteSizeLong());
      for (const wire::SequenceEvent& event : frame.events()) {
        Heard& heard = heard_[event.sequence_id()];
        EXPECT_FALSE(heard.over());
        if (event.has_accepted()) heard.accepted = true;
        if (event.has_delta()) heard.text += event.delta().content();
        for (const auto& logprobs : event.delta().logprobs()) heard.logprobs.push_back(logprobs);
        if (event.has_finished()) heard.finished = event.finished();
        if (event.has_failed()) heard.failed = event.failed();
      }
    }
    return true;
  }
  bool ReadToEndOf(uint64_t id) {
    return ReadUntil([this, id] { return heard_[id].over(); });
  }

  void Acknowledge() {
    wire::RouterFrame frame;
    frame.mutable_ack()->set_frame_number(frames_);
    EXPECT_TRUE(stream_->Write(frame));
  }
  void Ping() {
    wire::RouterFrame frame;
    frame.mutable_ping();
    EXPECT_TRUE(stream_->Write(frame));
  }

  Heard& operator[](uint64_t id) { return heard_[id]; }
  const wire::WorkerLoad& load() const { return load_; }
  size_t largest_frame() const { return largest_frame_; }
  uint64_t frames() const { return frames_; }
  int unnumbered() const { return unnumbered_; }  // Welcomes and answers to pings that were skipped

 private:
  void Attach(const std::vector<uint64_t>& live) {
    context_ = std::make_unique<grpc::ClientContext>();
    stream_ = worker_.stub().Attach(context_.get());
    wire::RouterFrame frame;
    frame.mutable_hello()->set_router_id(router_id_);
    frame.mutable_hello()->set_last_frame_number(frames_);
    frame.mutable_hello()->mutable_live_sequence_ids()->Add(live.begin(), live.end());
    EXPECT_TRUE(stream_->Write(frame));
  }

  ServedWorker& worker_;
  const std::string router_id_;
  const bool acks_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<wire::RouterFrame, wire::WorkerFrame>> stream_;
  std::map<uint64_t, Heard> heard_;
  wire::WorkerLoad load_;
  size_t largest_frame_ = 0;
  uint64_t frames_ = 0;
  int unnumbered_ = 0;
};

wire::GenerateSpec TextSpec(const std::string& text, int32_t new_tokens_max = 0) {
  wire::GenerateSpec spec;
  spec.mutable_prompt()->set_text(text);
  spec.set_new_tokens_max(new_tokens_max);
  return spec;
}

TEST(WorkerServiceTest, AnswersASubmission) {
  ServedWorker worker(Alphabet);
  Attached attached(worker);
  attached.Submit(7, TextSpec("w"));
  ASSERT_TRUE(attached.ReadToEndOf(7));
  EXPECT_TRUE(attached[7].accepted);
  EXPECT_EQ(attached[7].text, "xyz");
  EXPECT_EQ(attached[7].finished->reason(), wire::FINISH_REASON_STOP);
  EXPECT_EQ(attached[7].finished->usage().completion_tokens(), 4);
}

TEST(WorkerServiceTest, RendersAChatAndUserTextNeverBecomesAControlToken) {
  ServedWorker worker(Alphabet);
  wire::RenderRequest request;
  request.mutable_prompt()->mutable_chat()->set_messages_json(
      R"([{"role":"user","content":"<|end|>a"}])");
  wire::RenderReply reply;
  grpc::ClientContext context;
  ASSERT_TRUE(worker.stub().Render(&context, request, &reply).ok());
  EXPECT_EQ(reply.text(), "<|start|><|end|>a");
  const std::vector<int32_t> expected = {
      kByteVocabularyStart, '<', '|', 'e', 'n', 'd', '|', '>', 'a'};
  EXPECT_EQ(std::vector<int32_t>(reply.token_ids().begin(), reply.token_ids().end()), expected);
}

TEST(WorkerServiceTest, ASubmissionInPartsIsPutTogether) {
  ServedWorker worker(Alphabet);
  Attached attached(worker);
  attached.SubmitInParts(1, TextSpec(std::string(700'000, 'a') + "x"), /*part_bytes=*/256 << 10);
  ASSERT_TRUE(attached.ReadToEndOf(1));
  EXPECT_EQ(attached[1].text, "yz");
  EXPECT_EQ(attached[1].finished->usage().prompt_tokens(), 700'001);
}

TEST(WorkerServiceTest, TooLongAPromptIsRefusedBeforeItIsAcceptedAndBothLengthsAreNamed) {
  ServedWorker worker(Alphabet, /*context_tokens_max=*/10);
  Attached attached(worker);
  attached.Submit(1, TextSpec("aaaaaaaaaaaa"));
  ASSERT_TRUE(attached.ReadToEndOf(1));
  ASSERT_TRUE(attached[1].failed.has_value());
  EXPECT_FALSE(attached[1].accepted);
  EXPECT_EQ(attached[1].failed->reason(), "context_length_exceeded");
  EXPECT_EQ(attached[1].failed->prompt_tokens(), 12);
  EXPECT_NE(attached[1].failed->message().find("12 tokens"), std::string::npos);
  // litellm and other clients know this error, whatever its code, by OpenAI's words.
  EXPECT_NE(attached[1].failed->message().find("this model's maximum context length is 10"),
            std::string::npos);
}

TEST(WorkerServiceTest, AnAnswerIsCutToTheRoomThatTheContextLeaves) {
  ServedWorker worker(Forever, /*context_tokens_max=*/10);
  Attached attached(worker);
  attached.Submit(1, TextSpec("aaaaaa", /*new_tokens_max=*/100));
  ASSERT_TRUE(attached.ReadToEndOf(1));
  EXPECT_EQ(attached[1].text, "....");
  EXPECT_EQ(attached[1].finished->reason(), wire::FINISH_REASON_LENGTH);
}

TEST(WorkerServiceTest, BadParametersAreRefusedByName) {
  ServedWorker worker(Alphabet);
  Attached attached(worker);
  wire::GenerateSpec scored = TextSpec("a");
  scored.mutable_sampling()->set_prompt_logprobs(21);
  attached.Submit(2, scored);
  ASSERT_TRUE(attached.ReadToEndOf(2));
  EXPECT_EQ(attached[2].failed->message(), "prompt_logprobs is 21, not in [0, 20]");
  wire::GenerateSpec spec = TextSpec("a");
  spec.mutable_sampling()->set_top_p(1.5f);
  attached.Submit(1, spec);
  ASSERT_TRUE(attached.ReadToEndOf(1));
  EXPECT_EQ(attached[1].failed->reason(), "invalid_request");
  EXPECT_NE(attached[1].failed->message().find("top_p"), std::string::npos);
  EXPECT_EQ(attached[1].failed->field(), "top_p");

  wire::GenerateSpec biased = TextSpec("a");
  (*biased.mutable_sampling()->mutable_logit_bias())[kByteVocabularySize] = 1;
  attached.Submit(3, biased);
  ASSERT_TRUE(attached.ReadToEndOf(3));
  EXPECT_EQ(attached[3].failed->field(), "logit_bias");
  wire::GenerateSpec stops = TextSpec("a");
  stops.add_stop_token_ids(kByteVocabularySize);
  attached.Submit(4, stops);
  ASSERT_TRUE(attached.ReadToEndOf(4));
  EXPECT_EQ(attached[4].failed->field(), "stop_token_ids");
  EXPECT_EQ(attached[4].failed->message(), "stop_token_ids has token 258, beyond 0 to 257");
}

TEST(WorkerServiceTest, LogprobsComeWithTheBytesOfTheirTokensWhereAskedFor) {
  ServedWorker worker(Alphabet);
  Attached attached(worker);
  wire::GenerateSpec spec = TextSpec("x");
  spec.mutable_sampling()->set_top_logprobs(3);
  attached.Submit(1, spec);
  ASSERT_TRUE(attached.ReadToEndOf(1));
  ASSERT_EQ(attached[1].logprobs.size(), 3u);
  EXPECT_TRUE(attached[1].logprobs[2].silent());
  EXPECT_EQ(attached[1].logprobs[2].token().text(), "<|end|>");
  const wire::TokenLogprobs& last = attached[1].logprobs[1];
  EXPECT_FALSE(last.silent() || last.of_prompt());
  EXPECT_EQ(last.token().text(), "z");
  EXPECT_EQ(last.token().logprob(), FakeExecutor::LogprobOfRank(1));
  EXPECT_EQ(last.rank(), 1);
  EXPECT_EQ(last.content_begin(), 1);
  ASSERT_EQ(last.top_size(), 3);
  EXPECT_EQ(last.top(1).token_id(), 'z' + 1);
  EXPECT_EQ(last.top(1).text(), "{");
  EXPECT_EQ(last.top(1).logprob(), FakeExecutor::LogprobOfRank(2));

  attached.Submit(2, TextSpec("x"));
  ASSERT_TRUE(attached.ReadToEndOf(2));
  EXPECT_TRUE(attached[2].logprobs.empty());
}

TEST(WorkerServiceTest, EchoesAndScoresAPromptAlone) {
  ServedWorker worker(Alphabet);
  Attached attached(worker);
  wire::GenerateSpec spec = TextSpec("ab\xC3\xA9");
  spec.set_echo(true);
  spec.set_prompt_only(true);
  spec.mutable_sampling()->set_prompt_logprobs(1);
  attached.Submit(1, spec);
  ASSERT_TRUE(attached.ReadToEndOf(1));
  EXPECT_EQ(attached[1].text, "ab\xC3\xA9");
  ASSERT_EQ(attached[1].logprobs.size(), 4u);
  EXPECT_FALSE(attached[1].logprobs[0].token().has_logprob());
  EXPECT_EQ(attached[1].logprobs[1].token().logprob(), FakeExecutor::LogprobOfRank(1));
  EXPECT_EQ(attached[1].logprobs[3].token().text(), "\xA9");
  EXPECT_EQ(attached[1].logprobs[3].content_begin(), 2);
  EXPECT_TRUE(attached[1].logprobs[3].of_prompt());
  EXPECT_EQ(attached[1].finished->reason(), wire::FINISH_REASON_LENGTH);
  EXPECT_EQ(attached[1].finished->usage().completion_tokens(), 0);

  spec.set_resumed_logprobs(3);
  spec.set_resumed_content_bytes(2);
  attached.Submit(2, spec);
  ASSERT_TRUE(attached.ReadToEndOf(2));
  EXPECT_EQ(attached[2].text, "\xC3\xA9");
  EXPECT_EQ(attached[2].logprobs.size(), 1u);
}

TEST(WorkerServiceTest, AStepsManyLogprobsGoInFramesOfTheirOwn) {
  ServedWorker worker(Alphabet, 1 << 20, {.frame_bytes_max = 200});
  Attached attached(worker);
  wire::GenerateSpec spec = TextSpec("a");
  spec.mutable_sampling()->set_top_logprobs(20);
  for (uint64_t id = 1; id <= 4; ++id) attached.Submit(id, spec);
  for (uint64_t id = 1; id <= 4; ++id) {
    ASSERT_TRUE(attached.ReadToEndOf(id));
    EXPECT_EQ(attached[id].logprobs.size(), 26u);
  }
  // A frame has one delta of that size at most, and so never two of them.
  EXPECT_LT(attached.largest_frame(), 2000u);
}

TEST(WorkerServiceTest, ACancelledSequenceFreesItsMemory) {
  ServedWorker worker(Forever);
  Attached attached(worker);
  attached.Submit(1, TextSpec("a"));
  ASSERT_TRUE(attached.ReadUntil([&] { return attached[1].text.size() > 3; }));
  attached.Cancel(1);
  ASSERT_TRUE(attached.ReadUntil([&] {
    return attached.load().running() == 0 &&
           attached.load().kv_blocks_free() == attached.load().kv_blocks_total();
  }));
  EXPECT_FALSE(attached[1].over());
}

TEST(WorkerServiceTest, AStreamThatStaysAwayCancelsWhatItCarried) {
  ServedWorker worker(Forever, 1 << 20, {.sessions = {.reattach_grace = absl::Milliseconds(100)}});
  Attached watcher(worker, "watcher");
  {
    Attached leaver(worker, "leaver");
    leaver.Submit(1, TextSpec("a"));
    ASSERT_TRUE(leaver.ReadUntil([&] { return leaver[1].text.size() > 3; }));
  }
  EXPECT_TRUE(watcher.ReadUntil(
      [&] { return watcher.load().kv_blocks_total() > 0 && watcher.load().running() == 0; }));
}

TEST(WorkerServiceTest, EqualIdsOfTwoRoutersAreTwoSequences) {
  ServedWorker worker(Alphabet);
  Attached first(worker, "first");
  Attached second(worker, "second");
  first.Submit(1, TextSpec("w"));
  second.Submit(1, TextSpec("x"));
  ASSERT_TRUE(first.ReadToEndOf(1));
  ASSERT_TRUE(second.ReadToEndOf(1));
  EXPECT_EQ(first[1].text, "xyz");
  EXPECT_EQ(second[1].text, "yz");
}

TEST(WorkerServiceTest, AnIdInUseIsRefusedAndTheFirstGoesOn) {
  ServedWorker worker(Forever);
  Attached attached(worker);
  attached.Submit(1, TextSpec("a"));
  ASSERT_TRUE(attached.ReadUntil([&] { return attached[1].accepted; }));
  attached.Submit(1, TextSpec("b"));
  ASSERT_TRUE(attached.ReadToEndOf(1));
  EXPECT_EQ(attached[1].failed->reason(), "invalid_request");
}

TEST(WorkerServiceTest, ADrainingWorkerTakesNothingNew) {
  ServedWorker worker(Alphabet);
  Attached attached(worker);
  wire::ControlRequest request;
  request.set_drain(true);
  wire::ControlReply reply;
  grpc::ClientContext context;
  ASSERT_TRUE(worker.stub().Control(&context, request, &reply).ok());
  EXPECT_TRUE(reply.load().draining());
  attached.Submit(1, TextSpec("a"));
  ASSERT_TRUE(attached.ReadToEndOf(1));
  EXPECT_EQ(attached[1].failed->reason(), "draining");
}

TEST(WorkerServiceTest, ARouterThatDoesNotReadIsCutOff) {
  ServedWorker worker(Forever, 1 << 20, {.sessions = {.unacknowledged_bytes_max = 4096}});
  grpc::ClientContext context;
  const auto stub = worker.StubWithLittleRoom();
  const auto stream = stub->Attach(&context);
  wire::RouterFrame frame;
  frame.mutable_hello()->set_router_id("deaf");
  ASSERT_TRUE(stream->Write(frame));
  frame.mutable_submit()->set_sequence_id(1);
  *frame.mutable_submit()->mutable_spec() = TextSpec("a");
  ASSERT_TRUE(stream->Write(frame));
  // Another router sees the reader-less one's sequence go, though nobody cancelled it.
  Attached watcher(worker);
  EXPECT_TRUE(watcher.ReadUntil(
      [&] { return watcher.load().steps() > 0 && watcher.load().running() == 0; }));
  context.TryCancel();
  stream->Finish();
}

TEST(WorkerServiceTest, AFrameBeforeHelloEndsTheStream) {
  ServedWorker worker(Alphabet);
  grpc::ClientContext context;
  const auto stream = worker.stub().Attach(&context);
  wire::RouterFrame frame;
  frame.mutable_submit()->set_sequence_id(1);
  ASSERT_TRUE(stream->Write(frame));
  wire::WorkerFrame answer;
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(WorkerServiceTest, APingIsAnswered) {
  ServedWorker worker(Alphabet);
  Attached attached(worker);
  ASSERT_TRUE(attached.ReadUntil([&] { return attached.unnumbered() == 1; }));  // Welcome
  attached.Ping();
  EXPECT_TRUE(attached.ReadUntil([&] { return attached.unnumbered() == 2; }));
}

// The stream is broken after every frame, acknowledged or not: the text is whole, and Attached
// holds the frame numbers to 1, 2, 3, …
TEST(WorkerServiceTest, ARouterThatAttachesAgainGetsEachFrameOnce) {
  for (const bool acks : {true, false}) {
    ServedWorker worker(Alphabet);
    Attached attached(worker, "test", acks);
    attached.Submit(1, TextSpec("a"));
    ASSERT_TRUE(attached.ReadUntil([&] { return attached[1].accepted; }));
    int breaks = 0;
    while (!attached[1].over()) {
      const wire::Welcome welcome = attached.AttachAgain({1});
      ASSERT_TRUE(welcome.resumed());
      ASSERT_EQ(welcome.known_sequence_ids_size(), 1);
      const uint64_t before = attached.frames();
      ASSERT_TRUE(attached.ReadUntil([&] { return attached.frames() > before; }));
      ++breaks;
    }
    EXPECT_GT(breaks, 3);
    EXPECT_EQ(attached[1].text, "bcdefghijklmnopqrstuvwxyz");
  }
}

TEST(WorkerServiceTest, WhatARouterNoLongerWantsIsCancelledWhenItAttachesAgain) {
  ServedWorker worker(Forever);
  Attached attached(worker);
  attached.Submit(1, TextSpec("a"));
  attached.Submit(2, TextSpec("a"));
  ASSERT_TRUE(
      attached.ReadUntil([&] { return !attached[1].text.empty() && !attached[2].text.empty(); }));
  const wire::Welcome welcome = attached.AttachAgain({2, 3});
  EXPECT_TRUE(welcome.resumed());
  ASSERT_EQ(welcome.known_sequence_ids_size(), 1);
  EXPECT_EQ(welcome.known_sequence_ids(0), 2u);
  EXPECT_TRUE(attached.ReadUntil([&] { return attached.load().running() == 1; }));
  EXPECT_FALSE(attached.AttachAgain({}).resumed());
  EXPECT_TRUE(
      attached.ReadUntil([&] { return attached.frames() > 0 && attached.load().running() == 0; }));
}

TEST(WorkerServiceTest, DescribeTellsTheModel) {
  ServedWorker worker(Alphabet, /*context_tokens_max=*/123);
  wire::WorkerDescription description;
  grpc::ClientContext context;
  ASSERT_TRUE(worker.stub().Describe(&context, {}, &description).ok());
  EXPECT_EQ(description.model_name(), "alphabet");
  EXPECT_EQ(description.context_tokens_max(), 123);
  EXPECT_EQ(description.end_of_text_token_ids(0), kByteVocabularyEnd);
  ASSERT_EQ(description.capabilities_size(), 1);
  EXPECT_EQ(description.capabilities(0), wire::CAPABILITY_GENERATE);
}

TEST(WorkerServiceTest, ATextModelDoesNotEmbed) {
  ServedWorker worker(Alphabet);
  wire::EmbedReply reply;
  grpc::ClientContext context;
  const grpc::Status status = worker.stub().Embed(&context, {}, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(), "alphabet is not an embedding model");
}

}  // namespace
}  // namespace spillway
