#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "absl/time/time.h"
#include "router/replica.h"

namespace spillway {

// How long a new sequence would wait on `replica` before its prefill begins: what the replica says
// of itself (scheduler/wait_estimate.h), and what this router has sent it since. What hasn't been
// measured yet counts as nothing.
absl::Duration PredictedWait(const ReplicaSnapshot& replica);

// It is attached, generates, takes new sequences, and is none of `excluded`.
bool IsCandidate(const ReplicaSnapshot& replica, std::span<const ReplicaKey> excluded);

// Its queue has room for `count` more sequences.
bool HasRoom(const ReplicaSnapshot& replica, int32_t count);

// The index in `replicas` of the one to send `count` sequences to. Where some candidates with room
// have `numerics` (0: any will do), only those count. Of two candidates that `random` picks, the
// one with the lower predicted wait; at equal wait the one with fewer sequences in all. Two choices
// instead of the best: routers act on old numbers, and the best of old numbers gets everybody's
// next request (Mitzenmacher 2001, "The Power of Two Choices").
//
// Pure. `random` is uniform over all 64-bit values. nullopt when there is none.
std::optional<size_t> ChooseReplica(std::span<const ReplicaSnapshot> replicas,
                                    std::span<const ReplicaKey> excluded, int32_t count,
                                    uint64_t numerics, uint64_t random);

}  // namespace spillway
