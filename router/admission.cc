#include "router/admission.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "router/balancer.h"

namespace spillway {
namespace {

// The soonest that a candidate's queue has moved up by one place, from its measured rates.
absl::Duration RetryAfter(std::span<const ReplicaSnapshot> replicas,
                          std::span<const ReplicaKey> excluded, const AdmissionLimits& limits) {
  absl::Duration soonest = absl::InfiniteDuration();
  for (const ReplicaSnapshot& replica : replicas) {
    if (!IsCandidate(replica, excluded)) continue;
    const int32_t queued = std::max(1, replica.load.waiting + replica.unaccepted);
    soonest = std::min(soonest, PredictedWait(replica) / queued);
  }
  return std::clamp(soonest, limits.retry_after_min, limits.retry_after_max);
}

}  // namespace

AdmissionDecision Admit(const AdmissionRequest& request, std::span<const ReplicaSnapshot> replicas,
                        const AdmissionLimits& limits, absl::Time now, uint64_t random) {
  AdmissionDecision decision;
  const auto waits = [&](absl::Duration limit) {
    return now - request.asked < limit && now < request.deadline ? Verdict::kWait
                                                                 : Verdict::kRefuse;
  };
  const bool any_candidate = std::any_of(
      replicas.begin(), replicas.end(),
      [&](const ReplicaSnapshot& replica) { return IsCandidate(replica, request.excluded); });
  if (!any_candidate) {
    const bool returns =
        std::any_of(replicas.begin(), replicas.end(),
                    [](const ReplicaSnapshot& replica) { return replica.returning; });
    decision.reason = "no_ready_replica";
    decision.verdict = request.accepted ? waits(limits.resume_wait)
                       : returns        ? waits(limits.return_wait)
                                        : Verdict::kRefuse;
    decision.retry_after = limits.retry_after_min;
    return decision;
  }
  const std::optional<size_t> chosen =
      ChooseReplica(replicas, request.excluded, request.sequences, request.numerics, random);
  if (!chosen.has_value()) {
    decision.reason = "queue_full";
    decision.verdict = request.accepted ? waits(limits.resume_wait) : Verdict::kRefuse;
    decision.retry_after = RetryAfter(replicas, request.excluded, limits);
    return decision;
  }
  decision.predicted_wait = PredictedWait(replicas[*chosen]);
  if (!request.accepted && now + decision.predicted_wait > request.deadline) {
    decision.reason = "predicted_wait_over_deadline";
    decision.retry_after =
        std::clamp(decision.predicted_wait, limits.retry_after_min, limits.retry_after_max);
    return decision;
  }
  decision.verdict = Verdict::kStart;
  decision.replica = replicas[*chosen].key;
  decision.numerics = replicas[*chosen].numerics;
  return decision;
}

GenerateError RefusalError(const AdmissionDecision& decision, size_t replicas_total) {
  GenerateError error;
  error.reason = std::string(decision.reason);
  error.retry_after = decision.retry_after;
  if (decision.reason == "no_ready_replica") {
    error.status = absl::UnavailableError(
        absl::StrCat("no healthy upstream: none of ", replicas_total, " replicas is ready"));
  } else if (decision.reason == "queue_full") {
    error.status = absl::ResourceExhaustedError("the queues of all ready replicas are full");
  } else {
    error.status = absl::ResourceExhaustedError(
        absl::StrCat("the predicted wait of ", absl::FormatDuration(decision.predicted_wait),
                     " is over the request's deadline"));
  }
  return error;
}

}  // namespace spillway
