#include "router/worker_upstream_link.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "router/worker_wire.h"

namespace spillway {
namespace {

namespace wire = worker::v1;

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr UpstreamLimits kLimits = {.write_queue_bytes_max = 1000,
                                    .ack_frames = 3,
                                    .reconnect_quick = absl::Milliseconds(25),
                                    .ping_interval = absl::Seconds(1),
                                    .silence_max = absl::Seconds(5),
                                    .reattach_wait = absl::Seconds(1),
                                    .reattach_sequences_max = 3};

// A link whose actions are kept, and a worker's words for it.
class UpstreamLinkTest : public ::testing::Test {
 protected:
  UpstreamLinkTest() : link_(ReplicaId{3}, "router", kLimits) { link_.Start(actions_); }

  // The actions of kind T since the last call, taken out; the others stay.
  template <typename T>
  std::vector<T> Take() {
    std::vector<T> taken;
    std::erase_if(actions_, [&](LinkAction& action) {
      auto* const one = std::get_if<T>(&action);
      if (one != nullptr) taken.push_back(std::move(*one));
      return one != nullptr;
    });
    return taken;
  }
  wire::Hello TakeHello() {
    const std::vector<AttachAction> attaches = Take<AttachAction>();
    EXPECT_EQ(attaches.size(), 1u);
    if (attaches.empty()) return {};
    attach_ = attaches[0].attach;
    return attaches[0].hello.hello();
  }
  // "7 lost" and so on, of all events since the last call.
  std::vector<std::string> TakeEvents() {
    std::vector<std::string> words;
    for (const DeliverAction& deliver : Take<DeliverAction>()) {
      for (const UpstreamEvent& event : deliver.events) {
        const char* const names[] = {" accepted", " started", " delta",
                                     " finished", " failed",  " lost"};
        words.push_back(std::to_string(event.sequence_id) + names[event.what.index()]);
      }
    }
    return words;
  }

  void Describe() {
    wire::WorkerDescription description;
    description.set_model_name("tiny");
    description.set_numerics_id("n");
    EXPECT_EQ(Take<DescribeAction>().size(), 1u);
    link_.OnDescribed(description, now_, actions_);
  }
  void Welcome(bool resumed = false, const std::vector<uint64_t>& known = {}) {
    wire::WorkerFrame frame;
    frame.mutable_welcome()->set_resumed(resumed);
    frame.mutable_welcome()->mutable_known_sequence_ids()->Add(known.begin(), known.end());
    link_.OnFrame(attach_, frame, now_, actions_);
  }
  void Attach() {
    Describe();
    TakeHello();
    Welcome();
  }
  void Frame(uint64_t number, const std::vector<wire::SequenceEvent>& events = {}) {
    wire::WorkerFrame frame;
    frame.set_frame_number(number);
    frame.mutable_load()->set_running(static_cast<int32_t>(number));
    for (const wire::SequenceEvent& event : events) *frame.add_events() = event;
    link_.OnFrame(attach_, frame, now_, actions_);
  }
  static wire::SequenceEvent Delta(uint64_t id) {
    wire::SequenceEvent event;
    event.set_sequence_id(id);
    event.mutable_delta()->set_content("x");
    return event;
  }
  static wire::SequenceEvent Accepted(uint64_t id) {
    wire::SequenceEvent event;
    event.set_sequence_id(id);
    event.mutable_accepted();
    return event;
  }
  static wire::SequenceEvent Finished(uint64_t id) {
    wire::SequenceEvent event;
    event.set_sequence_id(id);
    event.mutable_finished()->set_reason(wire::FINISH_REASON_STOP);
    return event;
  }
  absl::Status Submit(uint64_t id, size_t queued_bytes = 0) {
    GenerateRequest request;
    request.prompt = std::string("abc");
    return link_.Submit(
        link_.status().snapshot.key.attachment, id, /*prompt_tokens_estimate=*/10,
        ToSubmitFrames(id, ToGenerateSpec({.request = request, .resumed_token_ids = {}}), 1 << 20),
        queued_bytes, actions_);
  }
  void End(bool nobody_listens = false) {
    link_.OnEnded(attach_, "test", nobody_listens, now_, actions_);
  }
  void Tick(absl::Duration later) {
    now_ += later;
    link_.Tick(now_, actions_);
  }
  bool ready() const { return link_.status().snapshot.ready; }

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  LinkActions actions_;
  UpstreamLink link_;
  AttachId attach_{};
};

TEST_F(UpstreamLinkTest, IsReadyAtTheWelcome) {
  Describe();
  const wire::Hello hello = TakeHello();
  EXPECT_EQ(hello.router_id(), "router");
  EXPECT_TRUE(hello.live_sequence_ids().empty());
  EXPECT_FALSE(ready());
  Welcome();
  EXPECT_TRUE(ready());
  EXPECT_EQ(link_.status().snapshot.key, (ReplicaKey{ReplicaId{3}, 1}));
  EXPECT_EQ(link_.status().model_name, "tiny");
}

TEST_F(UpstreamLinkTest, TriesAgainAfterAPause) {
  EXPECT_EQ(Take<DescribeAction>().size(), 1u);
  link_.OnDescribeFailed("no", now_, actions_);
  EXPECT_EQ(link_.next_tick(), now_ + absl::Milliseconds(25));
  Tick(absl::Milliseconds(24));
  EXPECT_TRUE(actions_.empty());
  Tick(absl::Milliseconds(1));
  EXPECT_EQ(Take<DescribeAction>().size(), 1u);
}

TEST_F(UpstreamLinkTest, DeliversEachFrameOnce) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  Frame(1, {Accepted(7), Delta(7)});
  Frame(1, {Delta(7)});
  Frame(2, {Delta(7), Delta(8)});
  Frame(3, {Finished(7)});
  Frame(4, {Delta(7)});
  EXPECT_THAT(TakeEvents(), ElementsAre("7 accepted", "7 delta", "7 delta", "7 finished"));
  EXPECT_EQ(link_.live_count(), 0u);
}

TEST_F(UpstreamLinkTest, AGapInTheFramesLosesAll) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  Frame(2, {Delta(7)});
  EXPECT_THAT(TakeEvents(), ElementsAre("7 lost"));
  EXPECT_EQ(Take<BreakAction>().size(), 1u);
  EXPECT_FALSE(ready());
}

TEST_F(UpstreamLinkTest, AWorkerThatSpeaksBeforeItsWelcomeIsGivenUp) {
  Describe();
  TakeHello();
  Frame(1);
  EXPECT_EQ(Take<BreakAction>().size(), 1u);
  EXPECT_FALSE(ready());
}

TEST_F(UpstreamLinkTest, AcknowledgesEverySoManyFramesAndTheLast) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  Take<WriteAction>();
  Frame(1, {Accepted(7)});
  Frame(2, {Delta(7)});
  EXPECT_TRUE(Take<WriteAction>().empty());
  Frame(3, {Delta(7)});
  std::vector<WriteAction> acks = Take<WriteAction>();
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(acks[0].frame.ack().frame_number(), 3u);
  Frame(4, {Finished(7)});
  acks = Take<WriteAction>();
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(acks[0].frame.ack().frame_number(), 4u);
}

TEST_F(UpstreamLinkTest, AttachesAgainBehindItsLastFrame) {
  Attach();
  for (const uint64_t id : {7, 8, 9}) ASSERT_TRUE(Submit(id).ok());
  Frame(1, {Accepted(7), Delta(7), Accepted(8), Finished(8)});
  TakeEvents();
  End();
  EXPECT_FALSE(ready());
  EXPECT_EQ(Submit(10).code(), absl::StatusCode::kUnavailable);
  const wire::Hello hello = TakeHello();
  EXPECT_EQ(hello.last_frame_number(), 1u);
  EXPECT_THAT(hello.live_sequence_ids(), UnorderedElementsAre(7, 9));

  Welcome(/*resumed=*/true, {7});
  EXPECT_THAT(TakeEvents(), ElementsAre("9 lost")) << "its Submit never arrived";
  EXPECT_TRUE(ready());
  EXPECT_EQ(link_.status().snapshot.key.attachment, 2u);
  EXPECT_EQ(link_.status().snapshot.unaccepted, 0);
  Frame(1, {Delta(7)});
  Frame(2, {Delta(7), Finished(7)});
  EXPECT_THAT(TakeEvents(), ElementsAre("7 delta", "7 finished"));
}

TEST_F(UpstreamLinkTest, WhatIsCancelledMeanwhileIsNoLongerWanted) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  ASSERT_TRUE(Submit(8).ok());
  ASSERT_TRUE(Submit(9).ok());
  End();
  TakeHello();
  Take<WriteAction>();
  End();  // the first attempt fails
  link_.Cancel(7, actions_);
  EXPECT_TRUE(Take<WriteAction>().empty());
  Tick(absl::Milliseconds(25));
  EXPECT_THAT(TakeHello().live_sequence_ids(), UnorderedElementsAre(8, 9));
  link_.Cancel(8, actions_);
  const std::vector<WriteAction> writes = Take<WriteAction>();
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].frame.cancel().sequence_id(), 8u);
  Welcome(true, {8, 9});
  EXPECT_TRUE(TakeEvents().empty());
}

TEST_F(UpstreamLinkTest, GivesUpAttachingAgainWhenTheTimeIsOver) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  End();
  TakeHello();
  Tick(absl::Milliseconds(999));
  EXPECT_TRUE(TakeEvents().empty());
  Tick(absl::Milliseconds(1));
  EXPECT_THAT(TakeEvents(), ElementsAre("7 lost"));
  EXPECT_EQ(Take<BreakAction>().size(), 1u);
  Welcome(true, {7});
  EXPECT_FALSE(ready()) << "of a call that was given up";
}

TEST_F(UpstreamLinkTest, GivesUpAtOnceWhenNobodyListens) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  End();
  TakeHello();
  End(/*nobody_listens=*/true);
  EXPECT_THAT(TakeEvents(), ElementsAre("7 lost"));
}

TEST_F(UpstreamLinkTest, AnotherProcessAtTheAddressHasNothingOfIt) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  End();
  TakeHello();
  Welcome(/*resumed=*/false);
  EXPECT_THAT(TakeEvents(), ElementsAre("7 lost"));
  Attach();
  EXPECT_TRUE(ready());
}

TEST_F(UpstreamLinkTest, WithNothingOnItAStreamIsNotPickedUpAgain) {
  Attach();
  End();
  EXPECT_TRUE(Take<AttachAction>().empty());
  Tick(absl::Milliseconds(25));
  Attach();
  EXPECT_TRUE(ready());
}

TEST_F(UpstreamLinkTest, TooManySequencesForAHelloAreLost) {
  Attach();
  for (const uint64_t id : {6, 7, 8, 9}) ASSERT_TRUE(Submit(id).ok());
  End();
  EXPECT_TRUE(Take<AttachAction>().empty());
  EXPECT_EQ(TakeEvents().size(), 4u);
}

TEST_F(UpstreamLinkTest, ASilentWorkerIsPingedAndThenGivenUp) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  Take<WriteAction>();
  Tick(absl::Seconds(1));
  const std::vector<WriteAction> pings = Take<WriteAction>();
  ASSERT_EQ(pings.size(), 1u);
  EXPECT_TRUE(pings[0].frame.has_ping());
  now_ += absl::Seconds(3);
  wire::WorkerFrame answer;
  link_.OnFrame(attach_, answer, now_, actions_);
  Tick(absl::Milliseconds(4999));
  EXPECT_TRUE(TakeEvents().empty());
  Tick(absl::Milliseconds(1));
  EXPECT_THAT(TakeEvents(), ElementsAre("7 lost"));
  EXPECT_EQ(Take<BreakAction>().size(), 1u);
  EXPECT_FALSE(ready());
}

TEST_F(UpstreamLinkTest, AWorkerThatNeverSaysWelcomeIsGivenUp) {
  Describe();
  TakeHello();
  Tick(absl::Seconds(5));
  EXPECT_EQ(Take<BreakAction>().size(), 1u);
  EXPECT_FALSE(ready());
}

TEST_F(UpstreamLinkTest, RefusesASubmitBeyondItsQueue) {
  Attach();
  EXPECT_EQ(Submit(7, /*queued_bytes=*/1000).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(link_.live_count(), 0u);
  EXPECT_TRUE(Take<WriteAction>().empty());
}

TEST_F(UpstreamLinkTest, StopEndsItForGood) {
  Attach();
  ASSERT_TRUE(Submit(7).ok());
  link_.Stop(actions_);
  EXPECT_THAT(TakeEvents(), ElementsAre("7 lost"));
  EXPECT_EQ(Take<BreakAction>().size(), 1u);
  EXPECT_EQ(link_.next_tick(), absl::InfiniteFuture());
  EXPECT_FALSE(ready());
  EXPECT_EQ(link_.status().reason, "this server has ended its connection");
  actions_.clear();
  End();
  Tick(absl::Hours(1));
  EXPECT_TRUE(actions_.empty());
}

// A worker whose model is an encoder.
wire::WorkerDescription Embedder() {
  wire::WorkerDescription description;
  description.set_model_name("minilm");
  description.add_capabilities(wire::CAPABILITY_EMBED);
  description.set_embedding_size(384);
  description.set_embed_inputs_max(100);
  return description;
}

TEST_F(UpstreamLinkTest, AnEmbedderIsReadyWithoutAStream) {
  Take<DescribeAction>();
  link_.OnDescribed(Embedder(), now_, actions_);
  EXPECT_TRUE(actions_.empty());
  EXPECT_TRUE(link_.status().snapshot.ready);
  EXPECT_FALSE(link_.status().snapshot.generates);
  EXPECT_EQ(link_.status().snapshot.embed_inputs_max, 100);
  EXPECT_EQ(link_.status().embedding_size, 384);
  EXPECT_FALSE(link_.attached());
}

TEST_F(UpstreamLinkTest, AnEmbedderIsAskedAgainAndLostWhenItDoesNotAnswer) {
  Take<DescribeAction>();
  link_.OnDescribed(Embedder(), now_, actions_);
  const uint64_t attachment = link_.status().snapshot.key.attachment;
  now_ = link_.next_tick();
  link_.Tick(now_, actions_);
  EXPECT_EQ(Take<DescribeAction>().size(), 1u);
  EXPECT_TRUE(link_.status().snapshot.ready);
  link_.OnDescribed(Embedder(), now_, actions_);
  EXPECT_EQ(link_.status().snapshot.key.attachment, attachment);
  now_ = link_.next_tick();
  link_.Tick(now_, actions_);
  EXPECT_EQ(Take<DescribeAction>().size(), 1u);
  link_.OnDescribeFailed("gone", now_, actions_);
  EXPECT_FALSE(link_.status().snapshot.ready);
  EXPECT_EQ(link_.status().reason, "the worker doesn't answer: gone");
  now_ = link_.next_tick();
  link_.Tick(now_, actions_);
  EXPECT_EQ(Take<DescribeAction>().size(), 1u);
  link_.OnDescribed(Embedder(), now_, actions_);
  EXPECT_EQ(link_.status().snapshot.key.attachment, attachment + 1);
}

}  // namespace
}  // namespace spillway
