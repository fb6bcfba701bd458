#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spillway {

// Index of a worker in the router, never used twice.
enum class ReplicaId : int32_t {};

// One attachment of a replica. A worker that was lost and came back has a new `attachment`, so a
// request that excludes the one it lost may still go to the one that came back.
struct ReplicaKey {
  ReplicaId id{};
  uint64_t attachment = 0;

  friend bool operator==(const ReplicaKey&, const ReplicaKey&) = default;
};

// What the worker said in its last frame. Zeros until there is one.
struct ReplicaLoad {
  int32_t running = 0;
  int32_t waiting = 0;
  int64_t waiting_prompt_tokens = 0;
  int32_t kv_blocks_free = 0;
  int32_t kv_blocks_total = 0;
  double prefill_tokens_per_s = 0;  // 0: not measured yet
  double decode_tokens_per_s = 0;   // of all its sequences together; 0: not measured yet
  double step_ms = 0;               // a moving average
  // How long a sequence that comes now would wait before its prefill begins, and how much longer
  // for each prompt token, and where all places are taken for each sequence, that comes before it.
  // 0: not measured yet.
  double newcomer_wait_ms = 0;
  double wait_ms_per_prompt_token = 0;
  double wait_ms_per_sequence = 0;
  // Since the worker's start.
  uint64_t steps = 0;
  uint64_t preemptions = 0;
  uint64_t prefix_cache_query_tokens = 0;
  uint64_t prefix_cache_hit_tokens = 0;
};

// All that a decision about a replica is made from: a plain copy, taken when the decision is due.
struct ReplicaSnapshot {
  ReplicaKey key = {};
  bool ready = false;            // described and attached
  bool draining = false;         // finishes what it has, takes nothing new
  bool generates = true;         // false: it makes embeddings, and no text
  int32_t embed_inputs_max = 0;  // texts that it makes embeddings of at once; 0: it makes none
  // Not ready, but lost only moments ago and likely to come back (return_forecast.h).
  bool returning = false;
  // Equal for equal `numerics_id`s: two such replicas give equal text for equal requests. 0:
  // unknown.
  uint64_t numerics = 0;
  int32_t running_max = 0;
  int32_t waiting_max = 0;
  int32_t kv_block_tokens = 0;
  ReplicaLoad load = {};
  // Submitted by this router and not yet accepted, so not in `load` either.
  int32_t unaccepted = 0;
  int64_t unaccepted_prompt_tokens = 0;  // an estimate: the worker tokenizes
};

}  // namespace spillway
