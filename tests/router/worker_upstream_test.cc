// WorkerUpstream against a FakeWorker over real gRPC on a unix socket.

#include "router/worker_upstream.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_worker.h"
#include "tests/support/socket_dir.h"

namespace spillway {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

TEST(ReconnectDelay, KnocksOftenAndThenEverMoreRarely) {
  const UpstreamLimits limits = {.reconnect_quick = absl::Milliseconds(25),
                                 .reconnect_quick_count = 3,
                                 .reconnect_max = absl::Milliseconds(150)};
  std::vector<int64_t> delays_ms;
  for (int32_t attempt = 0; attempt < 8; ++attempt) {
    delays_ms.push_back(absl::ToInt64Milliseconds(ReconnectDelay(limits, attempt)));
  }
  EXPECT_THAT(delays_ms, ::testing::ElementsAre(25, 25, 25, 50, 100, 150, 150, 150));
  EXPECT_EQ(ReconnectDelay(limits, 1 << 30), absl::Milliseconds(150));
}

TEST(SequenceIds, CarryTheirShard) {
  EXPECT_EQ(ShardOf(MakeSequenceId(3, 77)), 3);
  EXPECT_EQ(ShardOf(MakeSequenceId(255, (uint64_t{1} << 56) - 1)), 255);
}

// Keeps what the upstream says, whole deliveries apart.
class WorkerUpstreamTest : public ::testing::Test {
 protected:
  struct Delivery {
    int32_t shard;
    std::vector<UpstreamEvent> events;
  };

  WorkerUpstream& Connect(const UpstreamLimits& limits = {}) {
    upstream_.emplace(
        ReplicaId{0}, "unix:" + path_, "router-under-test", limits, clock_,
        WorkerUpstream::Callbacks{.deliver =
                                      [this](int32_t shard, std::vector<UpstreamEvent> events) {
                                        MutexLock lock(mutex_);
                                        deliveries_.push_back({shard, std::move(events)});
                                        changed_.NotifyAll();
                                      },
                                  .changed =
                                      [this] {
                                        MutexLock lock(mutex_);
                                        changed_.NotifyAll();
                                      }});
    return *upstream_;
  }
  ~WorkerUpstreamTest() override { upstream_.reset(); }

  // False when `condition` stays false.
  bool WaitUntil(const std::function<bool()>& condition) EXCLUDES(mutex_) {
    while (!condition()) {
      MutexLock lock(mutex_);
      // A change between the two lines above shows at the next one, or after this short while.
      waited_ += absl::Milliseconds(20);
      if (waited_ > kPatience) return false;
      changed_.WaitFor(mutex_, absl::Milliseconds(20));
    }
    return true;
  }
  bool WaitUntilReady(uint64_t attachment) {
    return WaitUntil([&] {
      const ReplicaSnapshot snapshot = upstream_->status().snapshot;
      return snapshot.ready && snapshot.key.attachment == attachment;
    });
  }
  absl::Status Submit(uint64_t sequence_id, const GenerateRequest& request,
                      uint64_t attachment = 1) {
    return upstream_->Submit(
        attachment, sequence_id,
        {.request = request, .seed = 5, .resumed_token_ids = {}, .prompt_tokens_estimate = 10});
  }
  std::vector<Delivery> deliveries() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return deliveries_;
  }
  // The text of all deltas of `sequence_id`, and whether it has finished.
  std::pair<std::string, bool> Answer(uint64_t sequence_id) {
    std::pair<std::string, bool> answer;
    for (const Delivery& delivery : deliveries()) {
      for (const UpstreamEvent& event : delivery.events) {
        if (event.sequence_id != sequence_id) continue;
        if (const auto* delta = std::get_if<DeltaEvent>(&event.what)) {
          answer.first += delta->output.content;
        }
        answer.second |= std::holds_alternative<FinishedEvent>(event.what);
      }
    }
    return answer;
  }
  template <typename Event>
  int Count() {
    int count = 0;
    for (const Delivery& delivery : deliveries()) {
      for (const UpstreamEvent& event : delivery.events) {
        count += std::holds_alternative<Event>(event.what);
      }
    }
    return count;
  }

  SocketDir dir_;
  const SystemClock clock_;
  const std::string path_ = dir_.Path("worker.sock");
  Mutex mutex_;
  CondVar changed_;
  std::vector<Delivery> deliveries_ GUARDED_BY(mutex_);
  absl::Duration waited_ GUARDED_BY(mutex_);
  std::optional<WorkerUpstream> upstream_;
};

TEST_F(WorkerUpstreamTest, IsReadySoonAfterTheWorkerListens) {
  WorkerUpstream& upstream = Connect();
  ASSERT_TRUE(WaitUntil([&] {
    return upstream.status().reason.starts_with("the worker doesn't answer");
  })) << upstream.status().reason;
  EXPECT_FALSE(upstream.status().snapshot.ready);
  EXPECT_EQ(Submit(1, {}, 0).code(), absl::StatusCode::kUnavailable);

  FakeWorker worker(path_);
  ASSERT_TRUE(WaitUntilReady(1));
  const UpstreamStatus status = upstream.status();
  EXPECT_EQ(status.model_name, "tiny-model");
  EXPECT_EQ(status.context_tokens_max, 1000);
  EXPECT_EQ(status.snapshot.running_max, 8);
  EXPECT_EQ(status.reason, "");
  ASSERT_TRUE(worker.WaitUntil([](const auto& seen) { return !seen.router_ids.empty(); }));
  EXPECT_THAT(worker.seen().router_ids, ::testing::ElementsAre("router-under-test"));
}

TEST_F(WorkerUpstreamTest, CarriesSequencesToTheirEnd) {
  FakeWorker worker(path_);
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  GenerateRequest request;
  request.prompt = std::string("sixteen bytes ok");
  ASSERT_TRUE(Submit(MakeSequenceId(2, 1), request).ok());
  ASSERT_TRUE(WaitUntil([&] { return Answer(MakeSequenceId(2, 1)).second; }));
  EXPECT_EQ(Answer(MakeSequenceId(2, 1)).first, FakeAnswer(5, 12));
  EXPECT_EQ(upstream_->status().snapshot.unaccepted, 0);
  // The last sequence has ended: all is acknowledged.
  ASSERT_TRUE(worker.WaitUntil([](const auto& seen) { return seen.last_ack == seen.frames_sent; }));
}

TEST_F(WorkerUpstreamTest, GivesEachShardItsPartOfAFrameAtOnce) {
  FakeWorker worker(path_, {.hold_after = 0});
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  const std::vector<uint64_t> ids = {MakeSequenceId(0, 1), MakeSequenceId(0, 2),
                                     MakeSequenceId(1, 1)};
  for (const uint64_t id : ids) ASSERT_TRUE(Submit(id, {}).ok());
  ASSERT_TRUE(WaitUntil([&] { return Count<StartedEvent>() == 3; }));
  const size_t before = deliveries().size();

  worker.Allow(2);
  ASSERT_TRUE(WaitUntil([&] { return Count<DeltaEvent>() == 6; }));

  const std::vector<Delivery> all = deliveries();
  ASSERT_EQ(all.size(), before + 4) << "two steps, two shards";
  for (size_t i = before; i < all.size(); ++i) {
    EXPECT_EQ(all[i].events.size(), all[i].shard == 0 ? 2u : 1u);
    for (const UpstreamEvent& event : all[i].events) {
      EXPECT_EQ(ShardOf(event.sequence_id), all[i].shard);
    }
  }
}

TEST_F(WorkerUpstreamTest, SplitsALongSubmit) {
  FakeWorker worker(path_);
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  GenerateRequest request;
  request.prompt = std::string(5'000'000, 'x');  // over gRPC's own limit for one message
  ASSERT_TRUE(Submit(1, request).ok());
  ASSERT_TRUE(WaitUntil([&] { return Answer(1).second; }));
  const FakeWorker::Submission submission = worker.seen().submissions.at(0);
  EXPECT_EQ(submission.prompt.size(), 5'000'000u);
  EXPECT_EQ(submission.parts, 20);
  EXPECT_LE(submission.largest_frame, (256u << 10) + 100);
}

TEST_F(WorkerUpstreamTest, TheWriteQueueIsBounded) {
  FakeWorker worker(path_);
  Connect({.write_queue_bytes_max = 10'000});
  ASSERT_TRUE(WaitUntilReady(1));
  GenerateRequest request;
  request.prompt = std::string(10'001, 'x');
  EXPECT_EQ(Submit(1, request).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(upstream_->status().snapshot.unaccepted, 0);
  request.prompt = std::string(1'000, 'x');
  ASSERT_TRUE(Submit(2, request).ok());
  ASSERT_TRUE(WaitUntil([&] { return Answer(2).second; }));
  EXPECT_EQ(worker.seen().submissions.size(), 1u);
}

TEST_F(WorkerUpstreamTest, ACancelReachesTheWorkerAndSilencesTheSequence) {
  FakeWorker worker(path_, {.hold_after = 2});
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(Submit(1, {}).ok());
  ASSERT_TRUE(WaitUntil([&] { return Count<DeltaEvent>() == 2; }));
  upstream_->Cancel(1);
  upstream_->Cancel(1);
  upstream_->Cancel(4711);
  ASSERT_TRUE(worker.WaitUntil([](const auto& seen) { return !seen.cancelled.empty(); }));
  ASSERT_TRUE(Submit(2, {}).ok());
  worker.Allow(FakeWorker::kNoHold);
  ASSERT_TRUE(WaitUntil([&] { return Answer(2).second; }));
  EXPECT_THAT(worker.seen().cancelled, ::testing::ElementsAre(1u));
  EXPECT_FALSE(Answer(1).second);
}

TEST_F(WorkerUpstreamTest, ALostStreamLosesItsSequencesAndIsAttachedAgain) {
  FakeWorker worker(path_, {.hold_after = 2});
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(Submit(MakeSequenceId(0, 1), {}).ok());
  ASSERT_TRUE(Submit(MakeSequenceId(1, 1), {}).ok());
  ASSERT_TRUE(WaitUntil([&] { return Count<DeltaEvent>() == 4; }));

  worker.DropStreams();
  ASSERT_TRUE(WaitUntil([&] { return Count<WorkerLostEvent>() == 2; }));
  ASSERT_TRUE(WaitUntilReady(2));

  EXPECT_EQ(Submit(9, {}, 1).code(), absl::StatusCode::kUnavailable) << "of the first attachment";
  worker.Allow(FakeWorker::kNoHold);
  ASSERT_TRUE(Submit(MakeSequenceId(0, 2), {}, 2).ok());
  ASSERT_TRUE(WaitUntil([&] { return Answer(MakeSequenceId(0, 2)).second; }));
  worker.DropStreams();
  ASSERT_TRUE(WaitUntilReady(3));
  EXPECT_EQ(Count<WorkerLostEvent>(), 2) << "lost once is enough, and the third had finished";
}

// The worker cuts every stream behind each so many frames; what it has just written may be lost.
TEST_F(WorkerUpstreamTest, StreamsThatAreCutAllTheTimeLoseNothing) {
  for (const int32_t frames : {1, 2, 5}) {
    {
      MutexLock lock(mutex_);
      deliveries_.clear();
    }
    FakeWorker worker(path_, {.reattach_grace = absl::Seconds(20), .frames_per_stream = frames});
    Connect({.reattach_wait = absl::Seconds(20)});
    ASSERT_TRUE(WaitUntilReady(1));
    ASSERT_TRUE(Submit(1, {}).ok());
    ASSERT_TRUE(WaitUntil([&] { return Answer(1).second; }));
    EXPECT_EQ(Answer(1).first, FakeAnswer(5, 12));
    EXPECT_EQ(Count<DeltaEvent>(), 12);
    EXPECT_EQ(Count<WorkerLostEvent>(), 0);
    EXPECT_GT(worker.seen().router_ids.size(), 12u / static_cast<size_t>(frames)) << "attachments";
    upstream_.reset();
  }
}

TEST_F(WorkerUpstreamTest, WhatItCannotPickUpAgainIsLost) {
  auto worker = std::make_unique<FakeWorker>(path_, FakeWorker::Options{.hold_after = 2});
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(Submit(1, {}).ok());
  ASSERT_TRUE(WaitUntil([&] { return Count<DeltaEvent>() == 2; }));
  worker.reset();
  ASSERT_TRUE(WaitUntil([&] { return Count<WorkerLostEvent>() == 1; }));
  FakeWorker other(path_);
  ASSERT_TRUE(WaitUntilReady(2));
  ASSERT_TRUE(Submit(2, {}, 2).ok());
  ASSERT_TRUE(WaitUntil([&] { return Answer(2).second; }));
}

TEST_F(WorkerUpstreamTest, AHungWorkerIsNoticedAndGivenUp) {
  FakeWorker worker(path_, {.hold_after = 2});
  Connect({.ping_interval = absl::Milliseconds(20), .silence_max = absl::Milliseconds(200)});
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(Submit(1, {}).ok());
  ASSERT_TRUE(WaitUntil([&] { return Count<DeltaEvent>() == 2; }));
  worker.Hang();
  ASSERT_TRUE(WaitUntil([&] { return Count<WorkerLostEvent>() == 1; }));
  EXPECT_FALSE(upstream_->status().snapshot.ready);
  EXPECT_THAT(upstream_->status().reason, ::testing::HasSubstr("nothing was heard of the worker"));
}

TEST_F(WorkerUpstreamTest, AnIdleWorkerThatAnswersPingsIsKept) {
  FakeWorker worker(path_);
  Connect({.ping_interval = absl::Milliseconds(10), .silence_max = absl::Seconds(10)});
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(worker.WaitUntil([](const auto& seen) { return seen.pings >= 5; }));
  EXPECT_EQ(upstream_->status().snapshot.key.attachment, 1u);
}

TEST_F(WorkerUpstreamTest, SurvivesNonsense) {
  FakeWorker worker(path_, {.hold_after = 2});
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(Submit(1, {}).ok());
  ASSERT_TRUE(WaitUntil([&] { return Count<DeltaEvent>() == 2; }));
  worker.SendNonsense();
  worker.Allow(FakeWorker::kNoHold);
  ASSERT_TRUE(WaitUntil([&] { return Answer(1).second; }));
  for (const Delivery& delivery : deliveries()) {
    for (const UpstreamEvent& event : delivery.events) EXPECT_EQ(event.sequence_id, 1u);
  }
  EXPECT_EQ(upstream_->status().snapshot.unaccepted, 0);
}

TEST_F(WorkerUpstreamTest, TellsTheLoad) {
  FakeWorker worker(path_);
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(worker.WaitUntil([](const auto& seen) { return !seen.router_ids.empty(); }));
  worker.SendLoad(3, 4, /*draining=*/true);
  ASSERT_TRUE(WaitUntil([&] { return upstream_->status().snapshot.draining; }));
  EXPECT_EQ(upstream_->status().snapshot.load.running, 3);
  EXPECT_EQ(upstream_->status().snapshot.load.waiting, 4);
  EXPECT_EQ(upstream_->status().reason, "draining");
}

TEST_F(WorkerUpstreamTest, CountsWhatTheWorkerHasntAcceptedYet) {
  FakeWorker worker(path_, {.answer_submits = false});
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(Submit(1, {}).ok());
  ASSERT_TRUE(Submit(2, {}).ok());
  EXPECT_EQ(upstream_->status().snapshot.unaccepted, 2);
  EXPECT_EQ(upstream_->status().snapshot.unaccepted_prompt_tokens, 20);
  upstream_->Cancel(1);
  EXPECT_EQ(upstream_->status().snapshot.unaccepted, 1);
  EXPECT_EQ(upstream_->status().snapshot.unaccepted_prompt_tokens, 10);
}

TEST_F(WorkerUpstreamTest, StopLosesWhatIsUnderWay) {
  FakeWorker worker(path_, {.hold_after = 2});
  Connect();
  ASSERT_TRUE(WaitUntilReady(1));
  ASSERT_TRUE(Submit(1, {}).ok());
  upstream_->Stop();
  EXPECT_EQ(Count<WorkerLostEvent>(), 1);
  EXPECT_EQ(Submit(2, {}).code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(upstream_->status().snapshot.ready);
}

}  // namespace
}  // namespace spillway
