#include "router/balancer.h"

#include <algorithm>
#include <tuple>
#include <vector>

namespace spillway {
namespace {

int32_t SequencesIn(const ReplicaSnapshot& replica) {
  return replica.load.running + replica.load.waiting + replica.unaccepted;
}

}  // namespace

absl::Duration PredictedWait(const ReplicaSnapshot& replica) {
  const ReplicaLoad& load = replica.load;
  const int32_t places_missing =
      std::clamp(SequencesIn(replica) + 1 - replica.running_max, 0, replica.unaccepted);
  const double ms =
      load.newcomer_wait_ms +
      load.wait_ms_per_prompt_token * static_cast<double>(replica.unaccepted_prompt_tokens) +
      load.wait_ms_per_sequence * places_missing;
  return absl::Milliseconds(ms);
}

bool IsCandidate(const ReplicaSnapshot& replica, std::span<const ReplicaKey> excluded) {
  return replica.ready && !replica.draining && replica.generates &&
         std::find(excluded.begin(), excluded.end(), replica.key) == excluded.end();
}

bool HasRoom(const ReplicaSnapshot& replica, int32_t count) {
  if (replica.waiting_max == 0) return true;  // It didn't say; it will refuse for itself.
  // Places to run are free only while nobody queues for them: with a queue, KV memory is short.
  const int32_t free_places =
      replica.load.waiting > 0 ? 0 : std::max(0, replica.running_max - replica.load.running);
  return replica.load.waiting + replica.unaccepted + count <= replica.waiting_max + free_places;
}

std::optional<size_t> ChooseReplica(std::span<const ReplicaSnapshot> replicas,
                                    std::span<const ReplicaKey> excluded, int32_t count,
                                    uint64_t numerics, uint64_t random) {
  std::vector<size_t> candidates;
  for (size_t i = 0; i < replicas.size(); ++i) {
    if (IsCandidate(replicas[i], excluded) && HasRoom(replicas[i], count)) candidates.push_back(i);
  }
  const auto differs = [&](size_t i) { return replicas[i].numerics != numerics; };
  if (numerics != 0 && !std::all_of(candidates.begin(), candidates.end(), differs)) {
    std::erase_if(candidates, differs);
  }
  if (candidates.empty()) return std::nullopt;
  const size_t first = (random & 0xffffffff) % candidates.size();
  if (candidates.size() == 1) return candidates[first];
  // A second one that is never the first.
  const size_t step = 1 + (random >> 32) % (candidates.size() - 1);
  const size_t second = (first + step) % candidates.size();
  const auto cost = [&](size_t candidate) {
    const ReplicaSnapshot& replica = replicas[candidates[candidate]];
    return std::tuple(PredictedWait(replica), SequencesIn(replica));
  };
  return candidates[cost(second) < cost(first) ? second : first];
}

}  // namespace spillway
