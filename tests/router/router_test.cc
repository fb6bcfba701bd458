// The whole router against FakeWorkers over real gRPC: shards pumped by the test's own thread.

#include "router/router.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
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

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

// A shard's thread, run by hand.
class HandPump {
 public:
  std::function<void(std::function<void()>)> post() {
    return [this](std::function<void()> function) {
      MutexLock lock(mutex_);
      queue_.push_back(std::move(function));
      posted_.NotifyAll();
    };
  }
  // Runs what has been posted, waiting a moment when nothing has.
  void Pump() EXCLUDES(mutex_) {
    std::deque<std::function<void()>> functions;
    {
      MutexLock lock(mutex_);
      if (queue_.empty()) posted_.WaitFor(mutex_, absl::Milliseconds(10));
      functions.swap(queue_);
    }
    for (const auto& function : functions) function();
  }

 private:
  Mutex mutex_;
  CondVar posted_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
};

// Notes what it hears and holds the router to the grammar of ResponseSink.
class RecordingSink : public ResponseSink {
 public:
  void OnAccepted(int32_t prompt_tokens_in) override {
    Hear();
    EXPECT_FALSE(accepted);
    accepted = true;
    prompt_tokens = prompt_tokens_in;
  }
  void OnStarted(int32_t) override {
    Hear();
    EXPECT_TRUE(accepted);
    EXPECT_FALSE(started);
    started = true;
  }
  void OnDelta(int32_t choice, const OutputDelta& delta, int32_t token_count) override {
    Hear();
    EXPECT_TRUE(started);
    EXPECT_FALSE(finished.contains(choice));
    EXPECT_FALSE(delta.empty());
    texts[choice] += delta.content;
    tokens[choice] += token_count;
    if (on_delta) on_delta();
  }
  void OnFinished(int32_t choice, FinishReason reason, const Usage& usage) override {
    Hear();
    EXPECT_TRUE(started);
    EXPECT_TRUE(finished.emplace(choice, std::pair(reason, usage)).second);
    ended = static_cast<int32_t>(finished.size()) == choices;
  }
  void OnFailed(const GenerateError& error_in) override {
    Hear();
    error = error_in;
    ended = true;
  }
  void OnBatchEnd() override {
    EXPECT_FALSE(ended || in_call);
    EXPECT_GT(heard_since_batch_end, 0) << "an empty batch";
    heard_since_batch_end = 0;
    ++batches;
  }

  void Hear() {
    EXPECT_FALSE(ended) << "told something after the end";
    EXPECT_FALSE(in_call) << "told something from within Submit or Cancel";
    ++heard_since_batch_end;
  }

  int32_t choices = 1;
  std::function<void()> on_delta;
  bool in_call = false;
  bool accepted = false;
  bool started = false;
  bool ended = false;
  int32_t prompt_tokens = 0;
  int batches = 0;
  int heard_since_batch_end = 0;
  std::map<int32_t, std::string> texts;
  std::map<int32_t, int32_t> tokens;
  std::map<int32_t, std::pair<FinishReason, Usage>> finished;
  std::optional<GenerateError> error;
};

class RouterTest : public ::testing::Test {
 protected:
  void Make(const RouterLimits& limits = {}) {
    router_ = MakeRouter(limits, clock_, metrics_, /*random_seed=*/1);
    shard_ = router_->MakeShard(pump_.post());
  }
  ~RouterTest() override {
    if (router_ != nullptr) router_->Shutdown();
    shard_.reset();
  }

  FakeWorker& AddWorker(const std::string& name, FakeWorker::Options options = {}) {
    const std::string path = dir_.Path(name + ".sock");
    FakeWorker& worker = *(workers_[name] = std::make_unique<FakeWorker>(path, std::move(options)));
    router_->AddReplica(name, "unix:" + path);
    EXPECT_TRUE(PumpUntil([&] { return Replica(name).ready; })) << Replica(name).reason;
    EXPECT_TRUE(worker.WaitUntil([](const auto& seen) { return !seen.router_ids.empty(); }));
    return worker;
  }
  ReplicaStatus Replica(const std::string& name) {
    for (const ReplicaStatus& status : router_->Replicas()) {
      if (status.name == name) return status;
    }
    return {};
  }
  RequestId Submit(RecordingSink& sink, GenerateRequest request = {}) {
    sink.choices = request.choices;
    sink.in_call = true;
    const RequestId id = shard_->Submit(std::move(request), sink);
    sink.in_call = false;
    return id;
  }
  bool PumpUntil(const std::function<bool()>& condition) {
    const absl::Time give_up = clock_.Now() + kPatience;
    while (!condition()) {
      if (clock_.Now() > give_up) return false;
      pump_.Pump();
      shard_->Tick();
    }
    return true;
  }
  bool PumpUntilEnded(const RecordingSink& sink) {
    return PumpUntil([&] { return sink.ended; });
  }
  // The reason that a request is refused with.
  std::string Refusal(GenerateRequest request = {}) {
    RecordingSink sink;
    Submit(sink, std::move(request));
    EXPECT_TRUE(PumpUntilEnded(sink));
    return sink.error.has_value() ? sink.error->reason : "none";
  }

  SocketDir dir_;
  const SystemClock clock_;
  MetricRegistry metrics_;
  HandPump pump_;
  std::map<std::string, std::unique_ptr<FakeWorker>> workers_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<RouterShard> shard_;
};

TEST_F(RouterTest, ServesARequest) {
  Make();
  FakeWorker& worker = AddWorker("worker-0");
  RecordingSink sink;
  GenerateRequest request;
  request.prompt = ChatPrompt{
      .messages_json = "[{\"role\":\"user\"}]", .tools_json = "", .template_kwargs_json = ""};
  request.sampling.seed = 5;
  request.new_tokens_max = 6;
  request.timeout = absl::Seconds(60);
  Submit(sink, request);
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.error, std::nullopt);
  EXPECT_EQ(sink.prompt_tokens, 4);
  EXPECT_EQ(sink.texts[0], FakeAnswer(5, 6));
  EXPECT_EQ(sink.tokens[0], 6);
  EXPECT_EQ(sink.finished.at(0).first, FinishReason::kLength);
  EXPECT_EQ(sink.finished.at(0).second.completion_tokens, 6);
  EXPECT_GT(sink.batches, 2);
  EXPECT_EQ(shard_->requests_in_flight(), 0);
  const FakeWorker::Submission submission = worker.seen().submissions.at(0);
  EXPECT_GT(submission.deadline_ms, 50'000);
  EXPECT_LE(submission.deadline_ms, 60'000);
  EXPECT_GT(submission.template_time_unix_s, 1'600'000'000);

  const std::string scrape = metrics_.Scrape();
  EXPECT_THAT(scrape,
              HasSubstr("spillway_requests_total{model=\"tiny-model\",outcome=\"finished\"} 1"));
  EXPECT_THAT(scrape, HasSubstr("spillway_completion_tokens_total{model=\"tiny-model\"} 6"));
  EXPECT_THAT(scrape, HasSubstr("spillway_prompt_tokens_total{model=\"tiny-model\"} 4"));
  EXPECT_THAT(scrape, HasSubstr("spillway_ttft_seconds_count{model=\"tiny-model\"} 1"));
  EXPECT_THAT(scrape, HasSubstr("spillway_inter_token_seconds_count{model=\"tiny-model\"} 1"));
  EXPECT_THAT(scrape, HasSubstr("spillway_replica_ready{replica=\"worker-0\"} 1"));
}

TEST_F(RouterTest, EachChoiceHasItsOwnAnswer) {
  Make();
  AddWorker("worker-0");
  RecordingSink sink;
  GenerateRequest request;
  request.choices = 2;
  request.sampling.seed = 70;
  Submit(sink, request);
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.texts[0], FakeAnswer(70, 12));
  EXPECT_EQ(sink.texts[1], FakeAnswer(71, 12));
  EXPECT_EQ(sink.finished.at(1).first, FinishReason::kStop);
}

TEST_F(RouterTest, DrawsASeedWhereTheClientSetNone) {
  Make();
  FakeWorker& worker = AddWorker("worker-0");
  RecordingSink first;
  RecordingSink second;
  Submit(first);
  Submit(second);
  ASSERT_TRUE(PumpUntilEnded(first) && PumpUntilEnded(second));
  const auto submissions = worker.seen().submissions;
  EXPECT_NE(submissions.at(0).seed, submissions.at(1).seed);
}

TEST_F(RouterTest, ALongPromptArrivesWhole) {
  Make();
  FakeWorker& worker = AddWorker("worker-0");
  RecordingSink sink;
  GenerateRequest request;
  request.prompt = std::string(1'000'000, 'x');
  Submit(sink, request);
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.finished.size(), 1u);
  EXPECT_EQ(worker.seen().submissions.at(0).prompt.size(), 1'000'000u);
  EXPECT_GT(worker.seen().submissions.at(0).parts, 3);
}

// Each worker stops after 5 tokens of its own, so whoever has the request dies with it half said.
TEST_F(RouterTest, AnotherWorkerGoesOnWhereALostOneStopped) {
  Make();
  AddWorker("worker-0", {.hold_after = 5});
  AddWorker("worker-1", {.hold_after = 5});
  RecordingSink sink;
  GenerateRequest request;
  request.prompt = std::string("what is it");
  request.choices = 2;
  request.sampling.seed = 9;
  Submit(sink, request);
  const std::string half[] = {FakeAnswer(9, 4), FakeAnswer(10, 4)};  // the fifth is held back
  ASSERT_TRUE(PumpUntil([&] { return sink.texts[0] == half[0] && sink.texts[1] == half[1]; }));
  const bool first = !workers_["worker-0"]->seen().submissions.empty();
  FakeWorker& lost = *workers_[first ? "worker-0" : "worker-1"];
  FakeWorker& other = *workers_[first ? "worker-1" : "worker-0"];
  ASSERT_TRUE(other.seen().submissions.empty());

  other.Allow(FakeWorker::kNoHold);
  lost.Kill();
  ASSERT_TRUE(PumpUntilEnded(sink));

  EXPECT_EQ(sink.error, std::nullopt);
  EXPECT_EQ(sink.texts[0], FakeAnswer(9, 12));
  EXPECT_EQ(sink.texts[1], FakeAnswer(10, 12));
  EXPECT_EQ(sink.tokens[0], 12);
  const auto submissions = other.seen().submissions;
  ASSERT_EQ(submissions.size(), 2u);
  const FakeWorker::Submission& resumed = submissions[submissions[0].seed == 9 ? 0 : 1];
  EXPECT_EQ(resumed.prompt, "what is it");
  EXPECT_THAT(resumed.resumed_token_ids, ElementsAre(100, 101, 102, 103, 104));
  EXPECT_EQ(resumed.resumed_content_bytes, half[0].size());
  EXPECT_EQ(resumed.template_time_unix_s, lost.seen().submissions.at(0).template_time_unix_s);
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_resumes_total{model=\"tiny-model\"} 2"));
}

TEST_F(RouterTest, FailsWhenTheLastWorkerIsLostMidStream) {
  Make();
  FakeWorker& worker = AddWorker("worker-0", {.hold_after = 3});
  RecordingSink sink;
  Submit(sink);
  ASSERT_TRUE(PumpUntil([&] { return !sink.texts[0].empty(); }));
  worker.Kill();
  ASSERT_TRUE(PumpUntilEnded(sink));
  ASSERT_TRUE(sink.error.has_value());
  EXPECT_EQ(sink.error->reason, "worker_lost");
  EXPECT_TRUE(sink.finished.empty());
  EXPECT_TRUE(PumpUntil([&] { return !Replica("worker-0").ready; }));
  EXPECT_EQ(Refusal(), "no_ready_replica");
}

TEST_F(RouterTest, WithoutAResumeBudgetALossIsTheEnd) {
  Make({.resume_bytes_max = 8});
  AddWorker("worker-0", {.hold_after = 3});
  AddWorker("worker-1", {.hold_after = 3});
  RecordingSink sink;
  GenerateRequest request;
  request.prompt = std::string("over the budget");
  Submit(sink, request);
  ASSERT_TRUE(PumpUntil([&] { return !sink.texts[0].empty(); }));
  workers_[workers_["worker-0"]->seen().submissions.empty() ? "worker-1" : "worker-0"]->Kill();
  ASSERT_TRUE(PumpUntilEnded(sink));
  ASSERT_TRUE(sink.error.has_value());
  EXPECT_EQ(sink.error->reason, "worker_lost");
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_not_resumable_total{model=\"tiny-model\"} 1"));
}

TEST_F(RouterTest, ARefusedRequestIsTriedOnAnotherWorker) {
  Make();
  FakeWorker& a = AddWorker("worker-0");
  FakeWorker& b = AddWorker("worker-1");
  a.RefuseNext(1, absl::StatusCode::kResourceExhausted, "queue_full");
  b.RefuseNext(1, absl::StatusCode::kResourceExhausted, "queue_full");
  RecordingSink sink;
  Submit(sink);
  ASSERT_TRUE(PumpUntilEnded(sink));
  ASSERT_TRUE(sink.error.has_value());
  EXPECT_EQ(sink.error->reason, "queue_full");
  EXPECT_EQ(a.seen().submissions.size() + b.seen().submissions.size(), 2u);

  a.RefuseNext(1, absl::StatusCode::kResourceExhausted, "queue_full");
  b.RefuseNext(0, absl::StatusCode::kResourceExhausted, "queue_full");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Refusal(), "none");
  EXPECT_EQ(a.seen().submissions.size() + b.seen().submissions.size(),
            a.seen().submissions.size() > 1 ? 7u : 6u);
}

TEST_F(RouterTest, ACancelReachesTheWorker) {
  Make();
  FakeWorker& worker = AddWorker("worker-0", {.hold_after = 3});
  RecordingSink sink;
  const RequestId id = Submit(sink);
  ASSERT_TRUE(PumpUntil([&] { return !sink.texts[0].empty(); }));
  sink.in_call = true;
  shard_->Cancel(id);
  shard_->Cancel(id);
  sink.ended = true;  // nothing more may come
  sink.in_call = false;
  EXPECT_EQ(shard_->requests_in_flight(), 0);
  ASSERT_TRUE(worker.WaitUntil([](const auto& seen) { return !seen.cancelled.empty(); }));
  worker.Allow(FakeWorker::kNoHold);
  RecordingSink next;
  Submit(next);
  ASSERT_TRUE(PumpUntilEnded(next));
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("spillway_requests_total{model=\"tiny-model\",outcome=\"cancelled\"} 1"));
}

TEST_F(RouterTest, ASinkMayCancelInTheMiddleOfABatch) {
  Make();
  AddWorker("worker-0");
  RecordingSink sink;
  RequestId id{};
  sink.on_delta = [&] {
    shard_->Cancel(id);
    sink.ended = true;
  };
  // The second choice is accepted last, and sets all that the first has said free at once.
  GenerateRequest request;
  request.choices = 2;
  id = Submit(sink, request);
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_TRUE(PumpUntil([&] { return shard_->requests_in_flight() == 0; }));
  EXPECT_TRUE(sink.finished.empty());
}

TEST_F(RouterTest, AnEarlyCancelSilencesARefusal) {
  Make();
  RecordingSink sink;
  const RequestId id = Submit(sink);
  shard_->Cancel(id);
  sink.ended = true;
  pump_.Pump();
  EXPECT_EQ(shard_->requests_in_flight(), 0);
}

TEST_F(RouterTest, RefusesWhenTheQueuesAreFull) {
  Make();
  FakeWorker& worker = AddWorker("worker-0", {.running_max = 1, .waiting_max = 2});
  worker.SendLoad(/*running=*/1, /*waiting=*/2, /*draining=*/false);
  ASSERT_TRUE(PumpUntil([&] { return Replica("worker-0").waiting == 2; }));
  RecordingSink sink;
  Submit(sink);
  ASSERT_TRUE(PumpUntilEnded(sink));
  ASSERT_TRUE(sink.error.has_value());
  EXPECT_EQ(sink.error->reason, "queue_full");
  EXPECT_EQ(sink.error->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GE(sink.error->retry_after, absl::Seconds(1));
  EXPECT_TRUE(worker.seen().submissions.empty());
}

TEST_F(RouterTest, NamesTheModelsThatItHas) {
  Make();
  AddWorker("worker-0", {.model_name = "smollm2-135m-instruct"});
  AddWorker("worker-1", {.model_name = "other", .context_tokens_max = 50});
  RecordingSink sink;
  GenerateRequest request;
  request.model = "qwen";
  Submit(sink, request);
  ASSERT_TRUE(PumpUntilEnded(sink));
  ASSERT_TRUE(sink.error.has_value());
  EXPECT_EQ(sink.error->reason, "model_not_found");
  EXPECT_EQ(std::string(sink.error->status.message()),
            "model \"qwen\" not found; this server has: smollm2-135m-instruct, other");

  request.model = "Other";
  EXPECT_EQ(Refusal(request), "none");
  EXPECT_EQ(workers_["worker-1"]->seen().submissions.size(), 1u);
  request.model = "";
  EXPECT_EQ(Refusal(request), "none");
  EXPECT_EQ(workers_["worker-0"]->seen().submissions.size(), 1u);

  const std::vector<ModelInfo> models = router_->Models();
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[1].name, "other");
  EXPECT_EQ(models[1].context_tokens_max, 50);
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("spillway_requests_total{model=\"none\",outcome=\"model_not_found\"} 1"));
}

TEST_F(RouterTest, RefusesWithoutAReadyReplica) {
  Make();
  EXPECT_EQ(Refusal(), "no_ready_replica");
  FakeWorker& worker = AddWorker("worker-0");
  worker.SendLoad(0, 0, /*draining=*/true);
  ASSERT_TRUE(PumpUntil([&] { return !Replica("worker-0").ready; }));
  EXPECT_EQ(Replica("worker-0").reason, "draining");
  EXPECT_EQ(Refusal(), "no_ready_replica");
}

TEST_F(RouterTest, WaitsForAFirstReplicaIfItMay) {
  Make({.no_replica_wait = kPatience});
  RecordingSink sink;
  Submit(sink);
  shard_->Tick();
  pump_.Pump();
  EXPECT_FALSE(sink.ended);
  AddWorker("worker-0");
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.finished.size(), 1u);
}

TEST_F(RouterTest, TheDeadlineEndsARequestOnAHungWorker) {
  Make();
  FakeWorker& worker = AddWorker("worker-0", {.answer_submits = false});
  GenerateRequest request;
  request.timeout = absl::Milliseconds(30);
  EXPECT_EQ(Refusal(request), "deadline");
  EXPECT_TRUE(worker.WaitUntil([](const auto& seen) { return seen.cancelled.size() == 1; }));
}

TEST_F(RouterTest, ReportsAWorkersFailureAsItIs) {
  Make();
  FakeWorker& worker = AddWorker("worker-0");
  worker.RefuseNext(1, absl::StatusCode::kInvalidArgument, "context_length_exceeded");
  EXPECT_EQ(Refusal(), "context_length_exceeded");
  EXPECT_EQ(worker.seen().submissions.size(), 1u);
}

TEST_F(RouterTest, NonsenseFromAWorkerIsIgnoredAndCounted) {
  Make();
  FakeWorker& worker = AddWorker("worker-0", {.hold_after = 3});
  RecordingSink sink;
  Submit(sink);
  ASSERT_TRUE(PumpUntil([&] { return !sink.texts[0].empty(); }));
  worker.SendNonsense();
  worker.Allow(FakeWorker::kNoHold);
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.finished.size(), 1u);
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("spillway_ignored_worker_events_total{model=\"tiny-model\"} 2"));
}

TEST_F(RouterTest, RefusesWhatIsOverItsLimits) {
  Make({.requests_max = 1, .choices_max = 2});
  AddWorker("worker-0", {.hold_after = 1});
  GenerateRequest request;
  request.choices = 3;
  EXPECT_EQ(Refusal(request), "invalid_request");
  request.choices = 0;
  EXPECT_EQ(Refusal(request), "invalid_request");
  RecordingSink running;
  const RequestId id = Submit(running);
  EXPECT_EQ(Refusal(), "queue_full");
  shard_->Cancel(id);
}

TEST_F(RouterTest, DrainingRefusesTheNewAndFinishesTheOld) {
  Make();
  FakeWorker& worker = AddWorker("worker-0", {.hold_after = 3});
  RecordingSink sink;
  Submit(sink);
  router_->SetDraining(true);
  EXPECT_EQ(Refusal(), "draining");
  worker.Allow(FakeWorker::kNoHold);
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.finished.size(), 1u);
}

TEST_F(RouterTest, ShutdownFailsWhatIsInFlight) {
  Make();
  AddWorker("worker-0", {.hold_after = 3});
  AddWorker("worker-1");
  RecordingSink sink;
  GenerateRequest request;
  request.choices = 2;
  Submit(sink, request);
  router_->Shutdown();
  ASSERT_TRUE(PumpUntilEnded(sink));
  ASSERT_TRUE(sink.error.has_value());
  EXPECT_EQ(sink.error->reason, "draining");
  EXPECT_EQ(Refusal(), "draining");
  EXPECT_EQ(shard_->requests_in_flight(), 0);
}

TEST_F(RouterTest, ARemovedReplicasRequestsGoElsewhere) {
  Make();
  AddWorker("worker-0", {.hold_after = 3});
  RecordingSink sink;
  GenerateRequest request;
  request.sampling.seed = 4;
  Submit(sink, request);
  ASSERT_TRUE(PumpUntil([&] { return !sink.texts[0].empty(); }));
  AddWorker("worker-1");
  router_->RemoveReplica("worker-0");
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.texts[0], FakeAnswer(4, 12));
  EXPECT_EQ(router_->Replicas().size(), 1u);
}

TEST_F(RouterTest, AShardMayGoBeforeItsStreams) {
  Make();
  FakeWorker& worker = AddWorker("worker-0", {.hold_after = 1});
  RecordingSink sink;
  Submit(sink);
  ASSERT_TRUE(worker.WaitUntil([](const auto& seen) { return !seen.submissions.empty(); }));
  shard_.reset();
  sink.ended = true;
  worker.Allow(FakeWorker::kNoHold);
  EXPECT_TRUE(worker.WaitUntil([](const auto& seen) { return seen.frames_sent >= 10; }));
  pump_.Pump();
}

}  // namespace
}  // namespace spillway
