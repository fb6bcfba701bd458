#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/worker.pb.h"
#include "router/replica.h"
#include "router/upstream_event.h"
#include "router/worker_upstream.h"

namespace spillway {

// One Attach call. Never used twice.
enum class AttachId : uint64_t {};

// ---- what the link wants done, in order ----

// Answer with OnDescribed or OnDescribeFailed.
struct DescribeAction {};
// Begin a call and send `hello`; frames come to OnFrame, the end to OnEnded.
struct AttachAction {
  AttachId attach;
  worker::v1::RouterFrame hello;
};
struct WriteAction {
  AttachId attach;
  worker::v1::RouterFrame frame;
};
struct BreakAction {
  AttachId attach;
};
struct DeliverAction {
  std::vector<UpstreamEvent> events;
};
using LinkAction =
    std::variant<DescribeAction, AttachAction, WriteAction, BreakAction, DeliverAction>;
using LinkActions = std::vector<LinkAction>;

// The life of a router's connection to one worker, and the books of what is on it.
//
//   backing off --Tick--> describing --OnDescribed--> attaching --Welcome--> attached
//        ^                    | failed                    | ended, silent        |
//        +--------------------+---------------------------+                      | ended
//        ^                                                                       v
//        |      nobody listens, too late, or the worker knows nothing       re-attaching
//        +------------------------------------------------------------------     | Welcome
//        ^                    all that was on it is lost                         v
//        +-- silent for silence_max: hung, and all is lost -----------------  attached
//
// A stream that breaks with sequences on it is picked up again within reattach_wait: Hello names
// the last frame and the sequences that are still wanted, and the worker goes on behind that frame.
// So each frame counts once. A sequence that the worker doesn't know (its Submit was lost with the
// stream) is reported lost, and so is everything when the worker can't or doesn't come back.
//
// A worker that makes embeddings and no text is never attached: it is ready once it has described
// itself, and describes itself again every embedder_check, until it fails to:
//
//   describing --OnDescribed--> embedding --Tick--> embedding, asked --OnDescribed--> embedding …
//
// A worker is a peer: one that skips a frame number or speaks before Welcome is given up, with all
// that was on it; a frame that was there before is ignored.
//
// Pure: time is an argument, and nothing here knows gRPC. What comes of a call that is not the
// present one is ignored.
class UpstreamLink {
 public:
  UpstreamLink(ReplicaId id, std::string router_id, const UpstreamLimits& limits);

  // Once, first.
  void Start(LinkActions& actions);

  void OnDescribed(const worker::v1::WorkerDescription& description, absl::Time now,
                   LinkActions& actions);
  void OnDescribeFailed(std::string_view why, absl::Time now, LinkActions& actions);
  // Takes the texts out of `frame`.
  void OnFrame(AttachId attach, worker::v1::WorkerFrame& frame, absl::Time now,
               LinkActions& actions);
  // `nobody_listens`: there is no process at the address.
  void OnEnded(AttachId attach, std::string_view why, bool nobody_listens, absl::Time now,
               LinkActions& actions);
  void Tick(absl::Time now, LinkActions& actions);
  // When Tick() is due.
  absl::Time next_tick() const;

  // As SequenceCarrier says. `frames` hold the submission; they are taken where all is well.
  // `queued_bytes`: given to the present call and not yet taken by it.
  absl::Status Submit(uint64_t attachment, uint64_t sequence_id, int64_t prompt_tokens_estimate,
                      std::vector<worker::v1::RouterFrame> frames, size_t queued_bytes,
                      LinkActions& actions);
  void Cancel(uint64_t sequence_id, LinkActions& actions);

  // Ends the call and loses what is on it. Nothing happens any more.
  void Stop(LinkActions& actions);

  const UpstreamStatus& status() const { return status_; }
  bool attached() const { return state_ == State::kAttached; }
  size_t live_count() const { return live_.size(); }

 private:
  enum class State {
    kDescribing,
    kBackingOff,
    kAttaching,
    kAttached,
    kReattaching,
    kReattachPause,
    kEmbedding,
    kEmbeddingAsked,
    kStopped
  };
  struct Live {
    bool accepted = false;
    int64_t prompt_tokens_estimate = 0;
  };

  void Describe(LinkActions& actions);
  void BeginEmbedding(absl::Time now);
  void BeginCall(State state, absl::Time now, LinkActions& actions);
  void OnWelcome(const worker::v1::Welcome& welcome, absl::Time now, LinkActions& actions);
  void OnNumberedFrame(worker::v1::WorkerFrame& frame, absl::Time now, LinkActions& actions);
  void Reattach(absl::Time now, LinkActions& actions);
  void Ping(absl::Time now, LinkActions& actions);
  // Loses what is on the connection and tries anew after a while.
  void GiveUp(std::string_view why, absl::Time now, LinkActions& actions);
  void BreakCall(LinkActions& actions);
  void LoseAll(LinkActions& actions);
  // Takes a sequence out of the books before its end.
  void Drop(std::unordered_map<uint64_t, Live>::iterator live);
  // What `event` means for the books. False when the sequence is none of ours (any more).
  bool Record(const UpstreamEvent& event);
  void TakeLoad(const worker::v1::WorkerLoad& load);
  void Acknowledge(bool had_events, LinkActions& actions);

  const std::string router_id_;
  const UpstreamLimits limits_;

  State state_ = State::kDescribing;
  int32_t attempts_ = 0;            // that failed since it was attached last
  absl::Time wake_;                 // backing off, pausing, embedding: until when
  absl::Time reattach_until_;       // re-attaching and pausing
  std::optional<AttachId> attach_;  // the present call
  uint64_t last_attach_ = 0;
  absl::Time heard_;   // the last frame of the present call, or its beginning
  absl::Time pinged_;  // on the present call
  uint64_t last_frame_ = 0;
  int32_t frames_unacknowledged_ = 0;
  std::unordered_map<uint64_t, Live> live_;
  UpstreamStatus status_;
};

}  // namespace spillway
