#include "router/admission.h"

#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

ReplicaSnapshot Ready(int32_t id) {
  return {.key = {ReplicaId{id}, 1}, .ready = true, .running_max = 1, .waiting_max = 2};
}

AdmissionRequest Asked() { return {.asked = kNow}; }

TEST(Admission, StartsOnAReadyReplica) {
  const std::vector<ReplicaSnapshot> replicas = {Ready(7)};
  const AdmissionDecision decision = Admit(Asked(), replicas, {}, kNow, 0);
  EXPECT_EQ(decision.verdict, Verdict::kStart);
  EXPECT_EQ(decision.replica, (ReplicaKey{ReplicaId{7}, 1}));
}

TEST(Admission, RefusesAtOnceWithNoReadyReplica) {
  std::vector<ReplicaSnapshot> replicas = {Ready(0), Ready(1)};
  replicas[0].ready = false;
  replicas[1].draining = true;
  const AdmissionDecision decision = Admit(Asked(), replicas, {}, kNow, 0);
  EXPECT_EQ(decision.verdict, Verdict::kRefuse);
  EXPECT_EQ(decision.reason, "no_ready_replica");
  const GenerateError error = RefusalError(decision, replicas.size());
  EXPECT_EQ(error.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(error.reason, "no_ready_replica");
}

TEST(Admission, ANewRequestWaitsOnlyForAReplicaThatReturns) {
  const AdmissionLimits limits = {.return_wait = absl::Seconds(5)};
  ReplicaSnapshot replica = Ready(0);
  replica.ready = false;
  AdmissionRequest request = Asked();
  EXPECT_EQ(Admit(request, {&replica, 1}, limits, kNow, 0).verdict, Verdict::kRefuse);
  replica.returning = true;
  EXPECT_EQ(Admit(request, {&replica, 1}, limits, kNow, 0).verdict, Verdict::kWait);
  EXPECT_EQ(Admit(request, {&replica, 1}, limits, kNow + absl::Seconds(5), 0).verdict,
            Verdict::kRefuse);
  request.deadline = kNow;
  EXPECT_EQ(Admit(request, {&replica, 1}, limits, kNow, 0).verdict, Verdict::kRefuse);
}

TEST(Admission, ARequestThatWasAcceptedWaitsForAnyReplicaWithRoom) {
  const AdmissionLimits limits = {.resume_wait = absl::Seconds(10)};
  AdmissionRequest request = Asked();
  request.accepted = true;
  EXPECT_EQ(Admit(request, {}, limits, kNow, 0).verdict, Verdict::kWait);
  EXPECT_EQ(Admit(request, {}, limits, kNow + absl::Seconds(10), 0).verdict, Verdict::kRefuse);
  ReplicaSnapshot full = Ready(0);
  full.load.waiting = full.waiting_max;
  EXPECT_EQ(Admit(request, {&full, 1}, limits, kNow, 0).verdict, Verdict::kWait);
  EXPECT_EQ(Admit(request, {&full, 1}, limits, kNow + absl::Seconds(10), 0).reason, "queue_full");
  request.deadline = kNow;
  EXPECT_EQ(Admit(request, {}, limits, kNow, 0).verdict, Verdict::kRefuse);
}

TEST(Admission, AnAnswerGoesOnWhereItsNumericsAre) {
  std::vector<ReplicaSnapshot> replicas = {Ready(0), Ready(1)};
  replicas[0].numerics = 11;
  replicas[1].numerics = 22;
  AdmissionRequest request = Asked();
  request.accepted = true;
  request.numerics = 22;
  const AdmissionDecision decision = Admit(request, replicas, {}, kNow, 0);
  EXPECT_EQ(decision.replica, replicas[1].key);
  EXPECT_EQ(decision.numerics, 22u);
  replicas[1].load.waiting = replicas[1].waiting_max;
  EXPECT_EQ(Admit(request, replicas, {}, kNow, 0).replica, replicas[0].key) << "better than a wait";
}

TEST(Admission, RefusesWhenEveryQueueIsFull) {
  std::vector<ReplicaSnapshot> replicas = {Ready(0), Ready(1)};
  for (ReplicaSnapshot& replica : replicas) {
    replica.load.running = 1;
    replica.load.waiting = 2;
    replica.load.newcomer_wait_ms = 10'000;
  }
  const AdmissionDecision decision = Admit(Asked(), replicas, {}, kNow, 0);
  EXPECT_EQ(decision.verdict, Verdict::kRefuse);
  EXPECT_EQ(decision.reason, "queue_full");
  // A newcomer behind the two would wait for 10 s: one is through in 5 s.
  EXPECT_EQ(decision.retry_after, absl::Seconds(5));
  EXPECT_EQ(RefusalError(decision, 2).status.code(), absl::StatusCode::kResourceExhausted);

  replicas[1].load.waiting = 1;
  EXPECT_EQ(Admit(Asked(), replicas, {}, kNow, 0).verdict, Verdict::kStart);
}

TEST(Admission, RetryAfterStaysWithinItsLimits) {
  ReplicaSnapshot replica = Ready(0);
  replica.load.waiting = 2;
  EXPECT_EQ(Admit(Asked(), {&replica, 1}, {}, kNow, 0).retry_after, absl::Seconds(1));
  replica.load.newcomer_wait_ms = 10'000'000;
  EXPECT_EQ(Admit(Asked(), {&replica, 1}, {}, kNow, 0).retry_after, absl::Seconds(60));
}

TEST(Admission, RefusesAWaitThatEndsAfterTheDeadline) {
  ReplicaSnapshot replica = Ready(0);
  replica.load.newcomer_wait_ms = 10'000;
  AdmissionRequest request = Asked();
  request.deadline = kNow + absl::Seconds(9);
  const AdmissionDecision decision = Admit(request, {&replica, 1}, {}, kNow, 0);
  EXPECT_EQ(decision.verdict, Verdict::kRefuse);
  EXPECT_EQ(decision.reason, "predicted_wait_over_deadline");
  EXPECT_EQ(decision.retry_after, absl::Seconds(10));

  request.deadline = kNow + absl::Seconds(10);
  EXPECT_EQ(Admit(request, {&replica, 1}, {}, kNow, 0).verdict, Verdict::kStart);
}

TEST(Admission, AnAcceptedRequestIsNotRefusedForItsWait) {
  ReplicaSnapshot replica = Ready(0);
  replica.load.newcomer_wait_ms = 10'000;
  AdmissionRequest request = Asked();
  request.deadline = kNow + absl::Seconds(9);
  request.accepted = true;
  EXPECT_EQ(Admit(request, {&replica, 1}, {}, kNow, 0).verdict, Verdict::kStart);
}

TEST(Admission, AllSequencesMustFitTogether) {
  const ReplicaSnapshot replica = Ready(0);
  AdmissionRequest request = Asked();
  request.sequences = 3;
  EXPECT_EQ(Admit(request, {&replica, 1}, {}, kNow, 0).verdict, Verdict::kStart);
  request.sequences = 4;
  EXPECT_EQ(Admit(request, {&replica, 1}, {}, kNow, 0).reason, "queue_full");
}

TEST(Admission, LeavesOutWhatTheRequestLost) {
  const std::vector<ReplicaSnapshot> replicas = {Ready(0), Ready(1)};
  const std::vector<ReplicaKey> lost = {replicas[0].key};
  AdmissionRequest request = Asked();
  request.excluded = lost;
  for (uint64_t random = 0; random < 4; ++random) {
    EXPECT_EQ(Admit(request, replicas, {}, kNow, random).replica, replicas[1].key);
  }
}

}  // namespace
}  // namespace spillway
