#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "absl/time/time.h"
#include "router/replica.h"
#include "router/router.h"

namespace spillway {

struct AdmissionLimits {
  absl::Duration return_wait = absl::Seconds(5);   // of a new request, for a replica that returns
  absl::Duration resume_wait = absl::Seconds(10);  // of one that a worker had accepted, for any
  absl::Duration retry_after_min = absl::Seconds(1);
  absl::Duration retry_after_max = absl::Seconds(60);
};

struct AdmissionRequest {
  int32_t sequences = 1;                         // that must find a place together
  absl::Time asked;                              // since when a replica is sought
  absl::Time deadline = absl::InfiniteFuture();  // of the whole request
  // A worker had accepted it before it was lost: its client may have half of the answer.
  bool accepted = false;
  uint64_t numerics = 0;                      // of the replica that began the answer; 0: none did
  std::span<const ReplicaKey> excluded = {};  // lost or refused by this very request
};

enum class Verdict { kStart, kWait, kRefuse };

// `reason` names what was exhausted (DESIGN §7) when the verdict isn't kStart: a metric label and
// part of the refusal. "no_ready_replica", "queue_full", "predicted_wait_over_deadline".
struct AdmissionDecision {
  Verdict verdict = Verdict::kRefuse;
  std::string_view reason;
  ReplicaKey replica;             // kStart: where to
  uint64_t numerics = 0;          // kStart: that replica's
  absl::Duration predicted_wait;  // kStart: compared later with what happened
  absl::Duration retry_after;     // kRefuse; zero when nothing tells it
};

// Starts, waits or refuses. A new request is refused at once when it can't get what it asks for:
//
//   no candidate, and none returns           -> no_ready_replica
//   no candidate, but one returns            -> wait up to return_wait, then no_ready_replica
//   candidates, but every queue is full      -> queue_full
//   its wait would end after its deadline    -> predicted_wait_over_deadline
//
// One that a worker had accepted waits up to resume_wait for a candidate with room, whatever is to
// be expected, and is not refused for its predicted wait (docs/decisions/0008). Nobody waits past
// its deadline.
//
// Pure. `random` is uniform over all 64-bit values.
AdmissionDecision Admit(const AdmissionRequest& request, std::span<const ReplicaSnapshot> replicas,
                        const AdmissionLimits& limits, absl::Time now, uint64_t random);

// What a refused client is told. `replicas_total` only words the message.
GenerateError RefusalError(const AdmissionDecision& decision, size_t replicas_total);

}  // namespace spillway
