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
  absl::Duration no_replica_wait = absl::ZeroDuration();  // for a first ready replica
  absl::Duration retry_after_min = absl::Seconds(1);
  absl::Duration retry_after_max = absl::Seconds(60);
};

struct AdmissionRequest {
  int32_t sequences = 1;                         // that must find a place together
  absl::Time asked;                              // since when a replica is sought
  absl::Time deadline = absl::InfiniteFuture();  // of the whole request
  bool resumed = false;                          // part of the answer is with the client already
  std::span<const ReplicaKey> excluded = {};     // lost or refused by this very request
};

enum class Verdict { kStart, kWait, kRefuse };

// `reason` names what was exhausted (DESIGN §7) when the verdict isn't kStart: a metric label and
// part of the refusal. "no_ready_replica", "queue_full", "predicted_wait_over_deadline".
struct AdmissionDecision {
  Verdict verdict = Verdict::kRefuse;
  std::string_view reason;
  ReplicaKey replica;             // kStart: where to
  absl::Duration predicted_wait;  // kStart: compared later with what happened
  absl::Duration retry_after;     // kRefuse; zero when nothing tells it
};

// Starts, waits or refuses. A request is refused at once when it can't get what it asks for:
//
//   no candidate                             -> wait up to no_replica_wait, then no_ready_replica
//   candidates, but every queue is full      -> queue_full
//   its wait would end after its deadline    -> predicted_wait_over_deadline
//
// A resumed request is not refused for its predicted wait: half of it is with the client.
//
// Pure. `random` is uniform over all 64-bit values.
AdmissionDecision Admit(const AdmissionRequest& request, std::span<const ReplicaSnapshot> replicas,
                        const AdmissionLimits& limits, absl::Time now, uint64_t random);

// What a refused client is told. `replicas_total` only words the message.
GenerateError RefusalError(const AdmissionDecision& decision, size_t replicas_total);

}  // namespace spillway
