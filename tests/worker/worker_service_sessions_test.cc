#include "worker/worker_service_sessions.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr RouterSessionLimits kLimits = {.sessions_max = 2,
                                         .unacknowledged_bytes_max = 1000,
                                         .reattach_grace = absl::Seconds(5),
                                         .silence_max = absl::Seconds(15)};
constexpr StreamId kFirst{1};
constexpr StreamId kSecond{2};
constexpr StreamId kThird{3};

class RouterSessionsTest : public ::testing::Test {
 protected:
  // The answer to a Hello on `stream`.
  wire::Welcome Hello(StreamId stream, const std::string& router, uint64_t last_frame = 0,
                      const std::vector<uint64_t>& live = {}) {
    wire::Hello hello;
    hello.set_router_id(router);
    hello.set_last_frame_number(last_frame);
    hello.mutable_live_sequence_ids()->Add(live.begin(), live.end());
    actions_ = {};
    sessions_.OnHello(stream, hello, now_, actions_);
    if (actions_.send.empty()) return {};
    EXPECT_EQ(actions_.send.front().first, stream);
    return actions_.send.front().second->welcome();
  }
  SequenceId Submit(StreamId stream, uint64_t id) { return **sessions_.OnSubmit(stream, id); }
  // Sends a frame with one event of each of `ids` to whoever is on `stream`.
  void Send(SessionId session, const std::vector<uint64_t>& ids, size_t bytes = 0) {
    auto frame = std::make_unique<wire::WorkerFrame>();
    for (const uint64_t id : ids) {
      wire::SequenceEvent& event = *frame->add_events();
      event.set_sequence_id(id);
      event.mutable_delta()->set_content(std::string(bytes, 'x'));
    }
    actions_ = {};
    sessions_.Send(session, std::move(frame), now_, actions_);
  }
  void Gone(StreamId stream) {
    actions_ = {};
    sessions_.OnStreamGone(stream, now_, actions_);
  }
  void Tick(absl::Duration later) {
    now_ += later;
    actions_ = {};
    sessions_.Tick(now_, actions_);
  }
  // The numbers of the frames that the last call sent.
  std::vector<uint64_t> Sent() const {
    std::vector<uint64_t> numbers;
    for (const auto& [stream, frame] : actions_.send) numbers.push_back(frame->frame_number());
    return numbers;
  }
  std::vector<StreamId> Cut() const {
    std::vector<StreamId> streams;
    for (const auto& [stream, why] : actions_.cut) streams.push_back(stream);
    return streams;
  }

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  RouterSessions sessions_{kLimits};
  SessionActions actions_;
};

TEST_F(RouterSessionsTest, NumbersFramesFromOne) {
  EXPECT_FALSE(Hello(kFirst, "a").resumed());
  const SessionId session = *sessions_.SessionOf(kFirst);
  Send(session, {});
  EXPECT_THAT(Sent(), ElementsAre(1));
  Send(session, {});
  EXPECT_THAT(Sent(), ElementsAre(2));
}

TEST_F(RouterSessionsTest, ResendsWhatTheRouterDoesNotHave) {
  Hello(kFirst, "a");
  const SessionId session = *sessions_.SessionOf(kFirst);
  Submit(kFirst, 7);
  for (int i = 0; i < 4; ++i) Send(session, {7});
  sessions_.OnAck(kFirst, 2);
  Gone(kFirst);
  Send(session, {7});
  EXPECT_THAT(Sent(), IsEmpty()) << "nobody is there";
  const wire::Welcome welcome = Hello(kSecond, "a", /*last_frame=*/3, {7});
  EXPECT_TRUE(welcome.resumed());
  EXPECT_THAT(Sent(), ElementsAre(0, 4, 5));
  EXPECT_THAT(actions_.cancel, IsEmpty());
}

TEST_F(RouterSessionsTest, ForgottenOrFutureFramesCantBeResumed) {
  for (const uint64_t last_frame : {1, 5}) {
    Hello(kFirst, "a");
    const SequenceId id = Submit(kFirst, 7);
    for (int i = 0; i < 4; ++i) Send(*sessions_.SessionOf(kFirst), {7});
    sessions_.OnAck(kFirst, 2);
    EXPECT_FALSE(Hello(kSecond, "a", last_frame, {7}).resumed());
    EXPECT_THAT(actions_.cancel, ElementsAre(id));
    EXPECT_THAT(Sent(), ElementsAre(0));
    Gone(kFirst);
    Gone(kSecond);
  }
}

TEST_F(RouterSessionsTest, TellsWhichSequencesItKnows) {
  Hello(kFirst, "a");
  const SessionId session = *sessions_.SessionOf(kFirst);
  Submit(kFirst, 7);
  const SequenceId ended = Submit(kFirst, 8);
  const SequenceId unwanted = Submit(kFirst, 9);
  sessions_.Forget(ended);
  Send(session, {8});
  const wire::Welcome welcome = Hello(kSecond, "a", 0, {7, 8, 10});
  EXPECT_THAT(welcome.known_sequence_ids(), UnorderedElementsAre(7, 8));
  EXPECT_THAT(actions_.cancel, ElementsAre(unwanted));
  EXPECT_EQ(sessions_.Find(unwanted), std::nullopt);
}

TEST_F(RouterSessionsTest, ANewHelloWithoutSequencesBeginsAnew) {
  Hello(kFirst, "a");
  const SequenceId id = Submit(kFirst, 7);
  Send(*sessions_.SessionOf(kFirst), {7});
  EXPECT_FALSE(Hello(kSecond, "a").resumed());
  EXPECT_THAT(actions_.cancel, ElementsAre(id));
  EXPECT_THAT(Cut(), ElementsAre(kFirst));
  Send(*sessions_.SessionOf(kSecond), {});
  EXPECT_THAT(Sent(), ElementsAre(1));
}

TEST_F(RouterSessionsTest, AReplacedStreamDoesNotCountAnyMore) {
  Hello(kFirst, "a");
  const SequenceId id = Submit(kFirst, 7);
  Hello(kSecond, "a", 0, {7});
  EXPECT_THAT(Cut(), ElementsAre(kFirst));
  EXPECT_FALSE(sessions_.OnFrame(kFirst, now_, actions_));
  EXPECT_EQ(sessions_.OnSubmit(kFirst, 8), std::nullopt);
  sessions_.OnCancel(kFirst, 7, actions_);
  Gone(kFirst);
  EXPECT_TRUE(sessions_.Find(id).has_value());
  EXPECT_TRUE(sessions_.SessionOf(kSecond).has_value());
}

TEST_F(RouterSessionsTest, CancelsWhatStaysAway) {
  Hello(kFirst, "a");
  const SequenceId id = Submit(kFirst, 7);
  Gone(kFirst);
  Tick(absl::Milliseconds(4999));
  EXPECT_THAT(actions_.cancel, IsEmpty());
  Tick(absl::Milliseconds(1));
  EXPECT_THAT(actions_.cancel, ElementsAre(id));
  EXPECT_EQ(sessions_.session_count(), 0u);
  EXPECT_EQ(sessions_.sequence_count(), 0u);
}

TEST_F(RouterSessionsTest, WithNothingToMissASessionGoesAtOnce) {
  Hello(kFirst, "a");
  Send(*sessions_.SessionOf(kFirst), {});
  sessions_.OnAck(kFirst, 1);
  Gone(kFirst);
  EXPECT_EQ(sessions_.session_count(), 0u);
}

TEST_F(RouterSessionsTest, ASilentRouterIsCutAndMayComeBack) {
  Hello(kFirst, "a");
  const SequenceId id = Submit(kFirst, 7);
  now_ += absl::Seconds(10);
  sessions_.OnFrame(kFirst, now_, actions_);
  Tick(absl::Milliseconds(14'999));
  EXPECT_THAT(Cut(), IsEmpty());
  Tick(absl::Milliseconds(1));
  EXPECT_THAT(Cut(), ElementsAre(kFirst));
  EXPECT_TRUE(Hello(kSecond, "a", 0, {7}).resumed());
  EXPECT_TRUE(sessions_.Find(id).has_value());
}

TEST_F(RouterSessionsTest, ARouterThatDoesNotAcknowledgeIsGivenUp) {
  Hello(kFirst, "a");
  const SessionId session = *sessions_.SessionOf(kFirst);
  const SequenceId id = Submit(kFirst, 7);
  Send(session, {7}, 450);
  Send(session, {7}, 450);
  EXPECT_THAT(Cut(), IsEmpty());
  sessions_.OnAck(kFirst, 1);
  Send(session, {7}, 450);
  EXPECT_THAT(Cut(), IsEmpty());
  Send(session, {7}, 450);
  EXPECT_THAT(Cut(), ElementsAre(kFirst));
  EXPECT_THAT(actions_.cancel, ElementsAre(id));
  Send(session, {7});  // what the engine had said before the cancellation reached it
  EXPECT_THAT(Sent(), IsEmpty());
}

TEST_F(RouterSessionsTest, RoutersBeyondTheLimitAreTurnedAway) {
  Hello(kFirst, "a");
  Hello(kSecond, "b");
  Hello(kThird, "c");
  EXPECT_THAT(Cut(), ElementsAre(kThird));
  EXPECT_EQ(sessions_.SessionOf(kThird), std::nullopt);
}

TEST_F(RouterSessionsTest, NothingCountsBeforeHelloAndHelloComesOnce) {
  EXPECT_FALSE(sessions_.OnFrame(kFirst, now_, actions_));
  EXPECT_THAT(Cut(), ElementsAre(kFirst));
  Hello(kSecond, "");
  EXPECT_THAT(Cut(), ElementsAre(kSecond));
  Hello(kThird, "a");
  Hello(kThird, "a");
  EXPECT_THAT(Cut(), ElementsAre(kThird));
}

TEST_F(RouterSessionsTest, AnIdInUseIsRefused) {
  Hello(kFirst, "a");
  Submit(kFirst, 7);
  EXPECT_EQ(sessions_.OnSubmit(kFirst, 7)->status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(sessions_.sequence_count(), 1u);
}

TEST_F(RouterSessionsTest, LoadIsDueAfterAWhileAndOnceWhenIdle) {
  Hello(kFirst, "a");
  const SessionId session = *sessions_.SessionOf(kFirst);
  EXPECT_THAT(sessions_.LoadDue(now_, absl::Seconds(1), false), ElementsAre(session));
  auto busy = std::make_unique<wire::WorkerFrame>();
  busy->mutable_load()->set_running(1);
  sessions_.Send(session, std::move(busy), now_, actions_);
  EXPECT_THAT(sessions_.LoadDue(now_, absl::Seconds(1), false), IsEmpty());
  EXPECT_THAT(sessions_.LoadDue(now_, absl::Seconds(1), true), ElementsAre(session));
  Send(session, {});
  EXPECT_THAT(sessions_.LoadDue(now_, absl::Seconds(1), true), IsEmpty());
  EXPECT_THAT(sessions_.LoadDue(now_ + absl::Seconds(1), absl::Seconds(1), true),
              ElementsAre(session));
  Submit(kFirst, 7);
  Gone(kFirst);
  EXPECT_THAT(sessions_.LoadDue(now_ + absl::Seconds(1), absl::Seconds(1), true), IsEmpty());
}

}  // namespace
}  // namespace spillway
