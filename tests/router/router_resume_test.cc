// The whole router against FakeWorkers that are lost: what goes on, waits, and ends.

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "router/router.h"
#include "tests/router/router_fixture.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

class RouterReasoningTest : public RouterTest {
 protected:
  // Five tokens of reasoning, seven of content, by two workers.
  void LoseTheFirstWorkerAfter(int32_t tokens) {
    Make();
    AddWorker("worker-0", {.hold_after = tokens, .reasoning_tokens = 5});
    AddWorker("worker-1", {.hold_after = tokens, .reasoning_tokens = 5});
    RecordingSink sink;
    GenerateRequest request;
    request.sampling.seed = 9;
    Submit(sink, request);
    const std::string reasoning = FakeAnswer(9, 5);
    const std::string half = FakeAnswer(9, tokens - 1);
    ASSERT_TRUE(PumpUntil([&] { return sink.reasonings[0] + sink.texts[0] == half; }));
    const bool first = !workers_["worker-0"]->seen().submissions.empty();
    FakeWorker& other = *workers_[first ? "worker-1" : "worker-0"];

    other.Allow(FakeWorker::kNoHold);
    workers_[first ? "worker-0" : "worker-1"]->Kill();
    ASSERT_TRUE(PumpUntilEnded(sink));

    EXPECT_EQ(sink.reasonings[0], reasoning);
    EXPECT_EQ(sink.texts[0], FakeAnswer(9, 12).substr(reasoning.size()));
    EXPECT_EQ(sink.finished.at(0).second.reasoning_tokens, 5);
    const FakeWorker::Submission resumed = other.seen().submissions.at(0);
    EXPECT_EQ(resumed.resumed_reasoning_bytes, std::min(half.size(), reasoning.size()));
    EXPECT_EQ(resumed.resumed_content_bytes, half.size() - resumed.resumed_reasoning_bytes);
  }
};

TEST_F(RouterReasoningTest, AnotherWorkerGoesOnThinking) { LoseTheFirstWorkerAfter(3); }
TEST_F(RouterReasoningTest, AnotherWorkerGoesOnAnswering) { LoseTheFirstWorkerAfter(9); }

TEST_F(RouterTest, FailsWhenTheLastWorkerIsLostForGood) {
  Make({.resume_wait = absl::Milliseconds(100)});
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
}

TEST_F(RouterTest, AStreamWaitsForTheReplacementOfItsOnlyWorker) {
  Make();
  FakeWorker& worker = AddWorker("worker-0", {.hold_after = 5});
  RecordingSink sink;
  GenerateRequest request;
  request.sampling.seed = 9;
  Submit(sink, request);
  ASSERT_TRUE(PumpUntil([&] { return sink.texts[0] == FakeAnswer(9, 4); }));
  worker.Kill();
  ASSERT_TRUE(PumpUntil([&] { return !Replica("worker-0").ready; }));
  ReplaceWorker("worker-0");
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.error, std::nullopt);
  EXPECT_EQ(sink.texts[0], FakeAnswer(9, 12));
}

TEST_F(RouterTest, ANewRequestWaitsForAWorkerThatReturns) {
  Make();
  AddWorker("worker-0").Kill();
  ASSERT_TRUE(PumpUntil([&] { return !Replica("worker-0").ready; }));
  RecordingSink sink;
  Submit(sink);
  shard_->Tick();
  pump_.Pump();
  EXPECT_FALSE(sink.ended);
  ReplaceWorker("worker-0");
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.finished.size(), 1u);
}

TEST_F(RouterTest, ANewRequestDoesNotWaitForAWorkerThatDoesNotReturn) {
  Make({.return_wait = absl::Milliseconds(100)});
  AddWorker("worker-0").Kill();
  ASSERT_TRUE(PumpUntil([&] { return !Replica("worker-0").ready; }));
  EXPECT_EQ(Refusal(), "no_ready_replica");
}

TEST_F(RouterTest, NobodyWaitsForACrashLoop) {
  Make();
  AddWorker("worker-0").Kill();
  ASSERT_TRUE(PumpUntil([&] { return !Replica("worker-0").ready; }));
  ReplaceWorker("worker-0");
  ASSERT_TRUE(PumpUntil([&] { return Replica("worker-0").ready; }));
  workers_["worker-0"]->Kill();
  ASSERT_TRUE(PumpUntil([&] { return !Replica("worker-0").ready; }));
  EXPECT_EQ(Refusal(), "no_ready_replica");
}

TEST_F(RouterTest, AnAnswerGoesOnWhereItsNumericsAre) {
  Make();
  FakeWorker& first = AddWorker("worker-0", {.hold_after = 3});
  RecordingSink sink;
  Submit(sink);
  ASSERT_TRUE(PumpUntil([&] { return !sink.texts[0].empty(); }));
  FakeWorker& other = AddWorker("worker-1", {.numerics_id = "other"});
  FakeWorker& equal = AddWorker("worker-2");
  equal.SendLoad(/*running=*/5, /*waiting=*/0, /*draining=*/false);  // the busier one
  ASSERT_TRUE(PumpUntil([&] { return Replica("worker-2").running == 5; }));
  first.Kill();
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.finished.size(), 1u);
  EXPECT_TRUE(other.seen().submissions.empty());
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("spillway_resumes_other_numerics_total{model=\"tiny-model\"} 0"));
}

TEST_F(RouterTest, AResumeOnOtherNumericsIsCounted) {
  Make();
  FakeWorker& first = AddWorker("worker-0", {.hold_after = 3});
  RecordingSink sink;
  Submit(sink);
  ASSERT_TRUE(PumpUntil([&] { return !sink.texts[0].empty(); }));
  AddWorker("worker-1", {.numerics_id = "other"});
  first.Kill();
  ASSERT_TRUE(PumpUntilEnded(sink));
  EXPECT_EQ(sink.finished.size(), 1u);
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("spillway_resumes_other_numerics_total{model=\"tiny-model\"} 1"));
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

TEST_F(RouterTest, AnExplanationIsTheReasonUntilTheReplicaIsReadyAgain) {
  Make();
  FakeWorker& worker = AddWorker("worker-0");
  const auto reason = [&] { return router_->Replicas().at(0).reason; };
  router_->ExplainReplica("worker-0", "its process was killed");
  EXPECT_EQ(reason(), "") << "it is ready";
  router_->ExplainReplica("nobody", "ignored");
  worker.Kill();
  ASSERT_TRUE(PumpUntil([&] { return !router_->Replicas().at(0).ready; }));
  router_->ExplainReplica("worker-0", "its process was killed");
  EXPECT_EQ(reason(), "its process was killed");
}

}  // namespace
}  // namespace spillway
