// The whole router against FakeWorkers over real gRPC, all workers well.

#include "router/router.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/router/router_fixture.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

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
  EXPECT_THAT(scrape, HasSubstr("spillway_inter_token_seconds_count{model=\"tiny-model\"} 4"));
  EXPECT_THAT(scrape,
              HasSubstr("spillway_replica_ready{model=\"tiny-model\",replica=\"worker-0\"} 1"));
}

// Keeps what it hears, since the summary's views don't last.
class RecordingObserver : public RequestObserver {
 public:
  void OnRequestEnd(const RequestSummary& summary) override {
    summaries.push_back(summary);
    words.push_back({std::string(summary.request_id), std::string(summary.token),
                     std::string(summary.service), std::string(summary.replica),
                     std::string(summary.outcome), std::string(summary.finish),
                     std::string(summary.traceparent)});
  }
  std::vector<RequestSummary> summaries;
  std::vector<std::vector<std::string>> words;
};

TEST_F(RouterTest, TheObserverHearsOfEachRequestOnce) {
  Make();
  RecordingObserver observer;
  shard_->SetObserver(&observer);
  AddWorker("worker-0", {.hold_after = 4});
  GenerateRequest request;
  request.request_id = "id-1";
  request.token_name = "laptop";
  request.traceparent = "00-trace";
  request.prompt = std::string("sixteen letters.");
  request.new_tokens_max = 4;
  RecordingSink finished;
  Submit(finished, request);
  ASSERT_TRUE(PumpUntilEnded(finished));
  request.request_id = "id-2";
  request.new_tokens_max = 12;
  RecordingSink cancelled;
  const RequestId id = Submit(cancelled, request);
  ASSERT_TRUE(PumpUntil([&] { return cancelled.tokens[0] == 4; }));
  shard_->Cancel(id);
  request.model = "no such";
  EXPECT_EQ(Refusal(request), "model_not_found");

  using Words = std::vector<std::string>;
  ASSERT_EQ(observer.words.size(), 3u);
  EXPECT_EQ(observer.words[0],
            (Words{"id-1", "laptop", "tiny-model", "worker-0", "finished", "length", "00-trace"}));
  EXPECT_EQ(observer.words[1],
            (Words{"id-2", "laptop", "tiny-model", "worker-0", "cancelled", "", "00-trace"}));
  EXPECT_EQ(observer.words[2],
            (Words{"id-2", "laptop", "none", "", "model_not_found", "", "00-trace"}));
  const RequestSummary& first = observer.summaries[0];
  EXPECT_EQ(first.http_status, 200);
  EXPECT_EQ(first.prompt_tokens, 4);
  EXPECT_EQ(first.completion_tokens, 4);
  EXPECT_LE(first.queued.value(), first.to_text.value());
  EXPECT_LE(first.to_text.value(), first.took);
  EXPECT_EQ(observer.summaries[1].http_status, 499);
  EXPECT_EQ(observer.summaries[1].completion_tokens, 4);
  EXPECT_EQ(observer.summaries[2].http_status, 404);
  EXPECT_FALSE(observer.summaries[2].queued.has_value());
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

TEST_F(RouterTest, AServiceThatIsNamedDecidesAndHasNoOtherModel) {
  Make();
  AddWorker("worker-0", {.model_name = "smollm2-135m-instruct"});
  AddWorker("worker-1", {.model_name = "other"});
  GenerateRequest request;
  request.service = "OTHER";
  EXPECT_EQ(Refusal(request), "none");
  request.model = "other";
  EXPECT_EQ(Refusal(request), "none");
  EXPECT_EQ(workers_["worker-1"]->seen().submissions.size(), 2u);
  request.model = "smollm2-135m-instruct";
  EXPECT_EQ(Refusal(request), "model_not_found");
  EXPECT_EQ(workers_["worker-0"]->seen().submissions.size(), 0u);
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
  EXPECT_THAT(models[1].numerics_ids, ::testing::ElementsAre("fake"));
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("spillway_requests_total{model=\"none\",outcome=\"model_not_found\"} 1"));
}

TEST_F(RouterTest, AModelThatIsStillLoadingIsNotUnknown) {
  Make();
  router_->AddReplica("worker-9", "unix:" + dir_.Path("none.sock"), "slow");
  AddWorker("worker-0", {.model_name = "quick"});
  GenerateRequest request;
  request.model = "Slow";
  EXPECT_EQ(Refusal(request), "no_ready_replica");
  request.model = "quick";
  EXPECT_EQ(Refusal(request), "none");
  request.model = "other";
  EXPECT_EQ(Refusal(request), "model_not_found");
  // The one that was named first is meant where no name is given.
  request.model = "";
  EXPECT_EQ(Refusal(request), "no_ready_replica");
  EXPECT_EQ(router_->Models().size(), 1u);
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
