#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "router/generate_request.h"
#include "router/router.h"

namespace spillway {

// What a worker says of one sequence (proto/worker.proto), or what became of it.
struct AcceptedEvent {
  int32_t prompt_tokens = 0;
};
struct StartedEvent {
  int32_t cached_tokens = 0;
};
struct DeltaEvent {
  OutputDelta output;
  std::vector<int32_t> token_ids;  // also where their text is held back
};
struct FinishedEvent {
  FinishReason reason = FinishReason::kStop;
  Usage usage;
};
struct FailedEvent {
  GenerateError error;
};
struct WorkerLostEvent {};

struct UpstreamEvent {
  uint64_t sequence_id = 0;
  std::variant<AcceptedEvent, StartedEvent, DeltaEvent, FinishedEvent, FailedEvent, WorkerLostEvent>
      what;
};

// A sequence id carries its shard's index in the top byte, so that a frame's events are sorted to
// their shards without a table.
constexpr int32_t kShardsMax = 256;
constexpr uint64_t MakeSequenceId(int32_t shard, uint64_t number) {
  return static_cast<uint64_t>(shard) << 56 | number;
}
constexpr int32_t ShardOf(uint64_t sequence_id) { return static_cast<int32_t>(sequence_id >> 56); }

// One choice of a request as it is sent. Everything that a rerun needs is in it.
struct SequenceSubmission {
  const GenerateRequest& request;  // borrowed for the call
  uint64_t seed = 0;               // this choice's
  int64_t template_time_unix_s = 0;
  absl::Duration time_left = absl::InfiniteDuration();
  std::span<const int32_t> resumed_token_ids;
  uint64_t resumed_content_bytes = 0;
  uint64_t resumed_reasoning_bytes = 0;
  int32_t resumed_logprobs = 0;
  int32_t resumed_tool_calls = 0;
  uint64_t resumed_tool_argument_bytes = 0;
  int64_t prompt_tokens_estimate = 0;
};

// Takes sequences to one worker: WorkerUpstream, and the simulation's.
class SequenceCarrier {
 public:
  virtual ~SequenceCarrier() = default;

  // Queues a sequence for sending. Its events are delivered until Finished, Failed, WorkerLost or
  // Cancel().
  //   UNAVAILABLE         `attachment` isn't the present one
  //   RESOURCE_EXHAUSTED  too much is waiting to be sent
  virtual absl::Status Submit(uint64_t attachment, uint64_t sequence_id,
                              const SequenceSubmission& submission) = 0;

  // Tells the worker, and delivers nothing more of the sequence. Unknown ids are ignored.
  virtual void Cancel(uint64_t sequence_id) = 0;
};

}  // namespace spillway
