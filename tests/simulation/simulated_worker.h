#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/worker.pb.h"
#include "tests/simulation/virtual_time.h"
#include "worker/worker_service_sessions.h"

namespace spillway {

// How a worker's router hears of it: one Attach call's end at the router. Called without delay;
// SimulatedUpstream adds the network's.
class RouterEnd {
 public:
  virtual ~RouterEnd() = default;
  virtual void OnFrame(StreamId stream, const wire::WorkerFrame& frame) = 0;
  virtual void OnCut(StreamId stream) = 0;
  // The process is gone. `connections_reset`: its machine is there and says so.
  virtual void OnDied(StreamId stream, bool connections_reset) = 0;
};

// A worker whose machine, network and process can fail: the real RouterSessions over a trivial
// engine. Its answers are those of tests/support/fake_answer.h, each token's text held back until
// the next one; token ids follow from seed and position, and what a resume brings is checked.
class SimulatedWorker {
 public:
  struct Counts {
    int32_t deaths = 0;
    int32_t hangs = 0;
    int32_t resumed_sessions = 0;   // a router came back and missed nothing
    int32_t resumed_sequences = 0;  // that came with tokens
    int32_t bad_resumes = 0;        // with wrong tokens, or more text than they have
    int32_t cancelled = 0;
  };

  // `time` and `counts` outlive it.
  SimulatedWorker(VirtualTime& time, Counts& counts, std::string numerics_id);

  bool alive() const { return incarnation_ % 2 == 0; }
  bool hung() const { return time_.Now() < hung_until_; }
  wire::WorkerDescription Describe() const;

  // ---- what a network brings; a hung process takes it up later ----
  StreamId Open(RouterEnd& router);
  void OnFrame(StreamId stream, wire::RouterFrame frame);
  void OnGone(StreamId stream);

  // ---- what befalls it ----
  void Die(bool connections_reset);
  void Start();
  void Hang(absl::Duration how_long);

  size_t sequences() const { return sequences_.size(); }
  size_t owned_sequences() const { return sessions_->sequence_count(); }
  size_t sessions() const { return sessions_->session_count(); }

  static int32_t TokenId(uint64_t seed, int32_t index);

 private:
  struct Sequence {
    uint64_t seed = 0;
    int32_t prompt_tokens = 0;
    int32_t total = 0;
    int32_t sampled = 0;
    size_t told_bytes = 0;
    bool accepted = false;
    bool started = false;
  };

  // Runs `what` unless the process has died meanwhile; after its hang if it hangs.
  void Do(std::function<void()> what);
  void Take(StreamId stream, const wire::RouterFrame& frame);
  void TakeSubmit(StreamId stream, const wire::Submit& submit);
  void Step();
  // The events of one step of one sequence; true when it has ended.
  bool Advance(uint64_t router_sequence, Sequence& sequence, wire::WorkerFrame& frame);
  void CarryOut(SessionActions& actions);
  void FillLoad(wire::WorkerLoad& load) const;

  VirtualTime& time_;
  Counts& counts_;
  const std::string numerics_id_;
  uint64_t incarnation_ = 0;  // odd: dead
  absl::Time hung_until_;
  uint64_t last_stream_ = 0;
  std::map<StreamId, RouterEnd*> streams_;
  std::unique_ptr<RouterSessions> sessions_;
  std::map<SequenceId, Sequence> sequences_;
};

}  // namespace spillway
