#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bounded_queue.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "scheduler/scheduler.h"
#include "worker/engine_types.h"
#include "worker/executor.h"
#include "worker/generation.h"
#include "worker/hang_detector.h"
#include "worker/step_meter.h"
#include "worker/step_patience.h"
#include "worker/text/tokenizer.h"

namespace spillway {

struct EngineLimits {
  size_t commands_max = 4096;                   // arrivals and cancellations not yet taken up
  int32_t delta_logprobs_max = 128;             // of a prompt, in one event
  absl::Duration idle_wait = absl::Seconds(1);  // the longest sleep while there is nothing to do
  StepPatienceLimits patience = {};
};

// Hears what each step brought. Called on the engine thread; must not block.
class EngineSink {
 public:
  virtual ~EngineSink() = default;
  // `events` in the order they happened; may be empty when only the load changed. The sink may
  // move out of them.
  virtual void OnStep(std::span<EngineEvent> events, const EngineLoad& load) = 0;
};

// The one loop that owns the scheduler: takes arrivals and cancellations, plans the next step,
// launches it, collects the one before, turns its tokens into events, and again. While the device
// runs step N, step N+1 is planned and the text of step N-1 is made.
//
// Threading: Submit, Cancel, ResetPrefixCache and Stop from any thread; Run (or RunOnce, in tests)
// from the engine thread alone, which owns all other state. `executor`, `tokenizer`, `clock` and
// `sink` outlive it.
class EngineLoop {
 public:
  EngineLoop(const EngineLimits& limits, const SchedulerLimits& scheduler_limits,
             Executor& executor, const Tokenizer& tokenizer, const Clock& clock, EngineSink& sink);
  ~EngineLoop();

  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;

  // False when commands_max are waiting (nothing was taken; the caller refuses the request) or
  // after Stop(). What becomes of the request comes as events.
  bool Submit(EngineRequest request);

  // No more events of this sequence; its KV is free within one step. A full queue can't lose it:
  // cancellations have a list of their own, bounded by the sequences there are.
  void Cancel(SequenceId id);

  void ResetPrefixCache();

  // Runs until Stop(). Returns OK then, or INTERNAL as soon as the device fails: every sequence
  // has then been told so, and the worker should end.
  absl::Status Run();
  void Stop();

  // From any thread: whether it still moves. A new sign comes with each turn and before each wait
  // for the device, which may take as long as the work of all the steps in flight.
  EngineSign sign() const EXCLUDES(sign_mutex_);

  // One turn of the loop, waiting at most `idle_wait` when there is nothing to do.
  absl::Status RunOnce(absl::Duration idle_wait);

 private:
  struct WakeCommand {};  // look at cancels_
  struct ResetCommand {};
  using Command = std::variant<std::unique_ptr<Generation>, WakeCommand, ResetCommand>;

  // Tokens of a prompt that a launched step scores.
  struct Scoring {
    SequenceId sequence{};
    Generation::ScoreRange tokens;
  };
  // A launched step, until it is collected.
  struct InFlight {
    Ticket ticket{};
    std::vector<SequenceId> sampling;  // the sequences of the rows that sample, in order
    std::vector<Scoring> scoring;      // of the rows that score, in order
    StepMeter::Step step;
    StepWork work;
    absl::Time launched;
  };
  // Ended while a launched step may still read its tokens and sampling parameters: freed once
  // ticket `last` has been collected.
  struct Retired {
    Ticket last{};
    std::unique_ptr<Generation> generation;
  };

  void TakeCommands(absl::Duration wait);
  void Add(std::unique_ptr<Generation> generation);
  // Plans and launches a step; false when there was nothing to run.
  absl::StatusOr<bool> LaunchNext();
  absl::Status CollectOldest();
  // A row of the plan, with what the executor needs beyond it; notes in `step` what it will bring.
  StepRow MakeRow(const StepSlice& slice, InFlight& step);
  void OnStarted(const SequenceStart& start);
  // Tells the scores of a step's prompts.
  void OnScores(std::span<const Scoring> scoring, std::span<const TokenScore> scores);
  void TellScores(Generation& generation, Generation::ScoreRange tokens,
                  std::span<const TokenScore> scores);
  // Tells of a sequence's new token; true when the sequence ends with it.
  bool OnSampled(SequenceId id, const SampledToken& sampled);
  void ReportPlan(const StepPlan& plan);
  // Each reports and forgets a sequence that the scheduler has forgotten or is about to.
  void End(SequenceId id, EndReason reason);
  void Fail(SequenceId id, absl::Status status, std::string_view reason);
  void FailNotANumber(SequenceId id);
  void FailAll(const absl::Status& status, std::string_view reason);
  void Retire(SequenceId id);
  void GiveSign() EXCLUDES(sign_mutex_);
  void Flush();
  EngineLoad Load() const;
  bool idle() const;

  const EngineLimits limits_;
  Executor& executor_;
  const Tokenizer& tokenizer_;
  const Clock& clock_;
  EngineSink& sink_;

  BoundedQueue<Command> commands_;
  // Cancellations, apart from commands_: they must get through when arrivals fill it. Bounded by
  // the number of sequences that exist, since each is cancelled at most once.
  Mutex cancels_mutex_;
  std::vector<SequenceId> cancels_ GUARDED_BY(cancels_mutex_);
  std::atomic<bool> stopping_{false};
  mutable Mutex sign_mutex_;
  EngineSign sign_ GUARDED_BY(sign_mutex_);

  // Engine thread only.
  Scheduler scheduler_;
  StepMeter meter_;
  StepPatience patience_;
  std::unordered_map<SequenceId, std::unique_ptr<Generation>> generations_;
  std::deque<Retired> retired_;
  std::deque<InFlight> in_flight_;
  absl::Time last_collected_;
  std::vector<EngineEvent> events_;
  std::vector<Command> taken_;
  std::vector<SequenceId> taken_cancels_;
  std::vector<StepRow> rows_;
  std::vector<SampledSlice> sampled_;
};

}  // namespace spillway
