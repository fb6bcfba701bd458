#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "router/generate_request.h"
#include "router/replica.h"
#include "router/router.h"

namespace spillway {

// What a worker says of one sequence (proto/worker.proto), or what became of its stream.
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
  int32_t resumed_logprobs = 0;
  int64_t prompt_tokens_estimate = 0;
};

struct UpstreamLimits {
  size_t submit_part_bytes = 256 << 10;     // a longer spec goes in parts
  size_t write_queue_bytes_max = 64 << 20;  // not yet taken by gRPC; Submit() fails beyond it
  int32_t ack_frames = 32;                  // frames per Ack while sequences run
  absl::Duration describe_timeout = absl::Seconds(5);
  // A worker that starts has no socket yet: knock often at first, so that it serves as soon as it
  // can, then ever more rarely.
  absl::Duration reconnect_quick = absl::Milliseconds(25);
  int32_t reconnect_quick_count = 200;
  absl::Duration reconnect_max = absl::Seconds(2);
};

// The pause before connection attempt `attempt` (0 is the first after a failure). Doubles after the
// quick ones. No jitter: a router has few workers, and they are not herds.
absl::Duration ReconnectDelay(const UpstreamLimits& limits, int32_t attempt);

struct UpstreamStatus {
  ReplicaSnapshot snapshot;
  std::string reason;  // why it isn't ready; empty when it is
  // From Describe; kept while the worker is away. Empty and 0 before the first answer.
  std::string model_name;
  std::string numerics_id;
  int32_t context_tokens_max = 0;
};

// The client of one worker: describes it, keeps one Attach stream to it, and connects again when
// that breaks.
//
//   connecting --Describe, Attach--> attached --stream ends--> backing off --> connecting …
//
// All that was on a stream that ends is lost: WorkerLostEvent for each sequence. The worker's
// frames are always read, whatever the shards do with them.
//
// Thread-safe. Makes no threads: the callbacks run on gRPC's, without a lock of this class held,
// and in order for one stream.
class WorkerUpstream {
 public:
  struct Callbacks {
    // All events of one frame for one shard, in order. Must not block.
    std::function<void(int32_t shard, std::vector<UpstreamEvent> events)> deliver;
    // status() has changed. Must not block.
    std::function<void()> changed;
  };

  // Starts to connect. `target` as gRPC takes it: "unix:/…", "host:port".
  WorkerUpstream(ReplicaId id, const std::string& target, const std::string& router_id,
                 const UpstreamLimits& limits, Callbacks callbacks);
  ~WorkerUpstream();  // Stop()

  // Queues a sequence for sending. Its events are delivered until Finished, Failed, WorkerLost or
  // Cancel().
  //   UNAVAILABLE         `attachment` isn't the present one
  //   RESOURCE_EXHAUSTED  too much is waiting to be sent
  absl::Status Submit(uint64_t attachment, uint64_t sequence_id,
                      const SequenceSubmission& submission);

  // Tells the worker, and delivers nothing more of the sequence. Unknown ids are ignored.
  void Cancel(uint64_t sequence_id);

  UpstreamStatus status() const;

  // Closes the stream, loses what was on it, and waits for gRPC's last callback. Not to be called
  // from a callback.
  void Stop();

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace spillway
