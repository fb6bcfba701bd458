#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/worker.pb.h"
#include "scheduler/types.h"
#include "worker/router_session_limits.h"

namespace spillway {

namespace wire = worker::v1;

// One Attach call, one router. Neither number is used twice.
enum class StreamId : uint64_t {};
enum class SessionId : uint64_t {};

// What is to be done, in this order.
struct SessionActions {
  std::vector<SequenceId> cancel;
  std::vector<std::pair<StreamId, std::shared_ptr<const wire::WorkerFrame>>> send;
  std::vector<std::pair<StreamId, absl::Status>> cut;
};

// Decides what each router has, has lost and may still get: which sequences are whose, which frames
// a router hasn't acknowledged, and what a stream that breaks or comes back means for them.
//
//   Hello ----> attached <---- Hello that names frames and sequences
//                  | stream gone       ^
//                  v                   | within reattach_grace
//               detached --------------+
//                  | too late, or too many bytes kept
//                  v
//               ended: its sequences are cancelled
//
// A frame is numbered and kept until the router acknowledges it, so a router that attaches again
// gets each frame exactly once. What is kept is bounded: a router that doesn't read, or stays away
// while its sequences run on, is given up.
//
// Pure: no threads, no clock, no gRPC. The caller owns the streams and carries out the actions in
// the order of the calls. Calls about a stream that was cut or replaced change nothing.
class RouterSessions {
 public:
  explicit RouterSessions(const RouterSessionLimits& limits) : limits_(limits) {}

  // ---- from routers ----

  // The first frame of `stream`. Cut where it is not the first, or makes no sense.
  void OnHello(StreamId stream, const wire::Hello& hello, absl::Time now, SessionActions& actions);
  // Any frame but Hello. False when it doesn't count; a stream that never said Hello is cut.
  bool OnFrame(StreamId stream, absl::Time now, SessionActions& actions);
  // An id for the engine.  ALREADY_EXISTS: the router's id is in use.
  // nullopt: the stream is none that counts.
  std::optional<absl::StatusOr<SequenceId>> OnSubmit(StreamId stream, uint64_t router_sequence);
  void OnCancel(StreamId stream, uint64_t router_sequence, SessionActions& actions);
  void OnAck(StreamId stream, uint64_t frame_number);
  void OnStreamGone(StreamId stream, absl::Time now, SessionActions& actions);

  // ---- from the engine ----

  struct Owner {
    SessionId session{};
    uint64_t router_sequence = 0;

    friend bool operator==(const Owner&, const Owner&) = default;
  };
  // nullopt: cancelled, or its router is gone.
  std::optional<Owner> Find(SequenceId sequence) const;
  std::optional<SessionId> SessionOf(StreamId stream) const;
  // The sequence has ended: its last event is in the frame that is sent next.
  void Forget(SequenceId sequence);
  // Numbers `frame`, keeps it and sends it if the router is attached.
  void Send(SessionId session, std::unique_ptr<wire::WorkerFrame> frame, absl::Time now,
            SessionActions& actions);
  // The attached sessions that are due a frame about the load: nothing was sent for `interval`, or
  // the worker has become idle and the router wasn't told.
  std::vector<SessionId> LoadDue(absl::Time now, absl::Duration interval, bool idle) const;

  // Gives up who stays away or is silent. Call about once a second.
  void Tick(absl::Time now, SessionActions& actions);

  size_t session_count() const { return sessions_.size(); }
  size_t sequence_count() const { return owners_.size(); }

 private:
  struct Kept {
    std::shared_ptr<const wire::WorkerFrame> frame;
    size_t bytes = 0;
  };
  struct Session {
    std::string router_id;
    std::optional<StreamId> stream;  // none: detached
    absl::Time detached_at;
    absl::Time heard;                                    // while attached
    std::unordered_map<uint64_t, SequenceId> sequences;  // live, by the router's ids
    std::deque<Kept> kept;                               // not acknowledged, oldest first
    size_t kept_bytes = 0;
    uint64_t last_number = 0;
    absl::Time sent;         // the last frame
    bool idle_sent = false;  // that frame told of an idle worker
  };

  Session* OfStream(StreamId stream);
  // Its stream doesn't count any more, though it may not be gone yet.
  void Detach(Session& session, absl::Time now);
  // Takes the frames up to `number` out of `session`.
  static void Acknowledge(Session& session, uint64_t number);
  static bool CanResumeAfter(const Session& session, const wire::Hello& hello);
  void Resume(Session& session, const wire::Hello& hello, wire::Welcome& welcome,
              SessionActions& actions);
  // Cancels what runs, cuts the stream with `why`, and forgets the session.
  void End(SessionId id, const absl::Status& why, SessionActions& actions);

  const RouterSessionLimits limits_;
  uint64_t last_session_ = 0;
  uint64_t last_sequence_ = 0;
  std::unordered_map<SessionId, Session> sessions_;
  std::unordered_map<std::string, SessionId> by_router_;
  // The streams that said Hello and aren't gone. nullopt: its session is another stream's by now,
  // or over.
  std::unordered_map<StreamId, std::optional<SessionId>> by_stream_;
  std::unordered_map<SequenceId, Owner> owners_;  // of all live sequences
};

}  // namespace spillway
