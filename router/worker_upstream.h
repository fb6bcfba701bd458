#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "router/replica.h"
#include "router/text_embedder.h"
#include "router/upstream_event.h"

namespace grpc {
class ChannelCredentials;
}

namespace spillway {

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
  // A worker that says nothing for silence_max, not even in answer to pings, is hung.
  absl::Duration ping_interval = absl::Seconds(1);
  absl::Duration silence_max = absl::Seconds(5);
  // A worker that makes embeddings has no stream: it is asked anew whether it is there.
  absl::Duration embedder_check = absl::Seconds(1);
  // How long what is on a stream that broke waits to be picked up again.
  absl::Duration reattach_wait = absl::Seconds(1);
  size_t reattach_sequences_max = 1 << 16;  // with more than a Hello should name, all are lost
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
  std::string instance_id;
  std::string model_hash;
  std::string architecture;
  int32_t context_tokens_max = 0;
  int32_t embedding_size = 0;  // numbers in a vector; 0: it makes none
  bool takes_tools = false;
  bool has_reasoning = false;
};

// The client of one worker over gRPC: carries out what its UpstreamLink decides (describe, attach,
// attach again, give up), and gives the events to the shards. The worker's frames are always read,
// whatever the shards do with them.
//
// Thread-safe. Makes no threads: the callbacks run on gRPC's, without a lock of this class held,
// and in order for one stream.
class WorkerUpstream : public SequenceCarrier, public TextEmbedder {
 public:
  struct Callbacks {
    // All events of one frame for one shard, in order. Must not block.
    std::function<void(int32_t shard, std::vector<UpstreamEvent> events)> deliver;
    // status() has changed. Must not block.
    std::function<void()> changed;
  };

  // Starts to connect. `target` as gRPC takes it: "unix:/…", "host:port". `credentials` are for the
  // latter alone (worker_credentials.h); null: in the clear. `clock` outlives it.
  WorkerUpstream(ReplicaId id, const std::string& target, const std::string& router_id,
                 const UpstreamLimits& limits, const Clock& clock, Callbacks callbacks,
                 std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr);
  ~WorkerUpstream() override;  // Stop()

  absl::Status Submit(uint64_t attachment, uint64_t sequence_id,
                      const SequenceSubmission& submission) override;
  void Cancel(uint64_t sequence_id) override;
  void Embed(const EmbedCall& call, EmbedDone done) override;
  void CancelEmbed(uint64_t call_id) override;

  UpstreamStatus status() const;

  // Closes the stream, loses what was on it, and waits for gRPC's last callback. Not to be called
  // from a callback.
  void Stop();

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace spillway
