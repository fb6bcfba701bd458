#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "router/generate_request.h"
#include "router/replica.h"
#include "router/router.h"

namespace spillway {

// The bytes that one shard may keep for resumes. Owned by the shard; outlives its flows.
class ResumeBudget {
 public:
  explicit ResumeBudget(size_t bytes_max) : bytes_max_(bytes_max) {}
  // False when that would be over the limit; nothing is taken then.
  bool TryTake(size_t bytes);
  void GiveBack(size_t bytes);
  size_t bytes_used() const { return bytes_used_; }

 private:
  const size_t bytes_max_;
  size_t bytes_used_ = 0;
};

// One try of one choice on one worker. Events of an older attempt are stale.
struct SequenceRef {
  int32_t choice = 0;
  int32_t attempt = 0;  // 0, then one more at each resubmission

  friend bool operator==(const SequenceRef&, const SequenceRef&) = default;
};

// ---- what the flow wants done, in order ----

// Ask admission for a replica and answer with OnPlaced, OnMustWait or OnNotPlaced.
struct ChooseReplicaAction {
  std::vector<int32_t> choices;  // all of the request at first; one at a resubmission
};
// Send the sequence. What a resumed one needs is in resumed_token_ids(), content_bytes(),
// reasoning_bytes(), logprob_count(), tool_calls() and tool_argument_bytes().
struct SubmitAction {
  SequenceRef sequence;
  ReplicaKey replica;
  uint64_t seed = 0;
};
// Tell the worker; no events of this sequence count any more.
struct CancelSequenceAction {
  SequenceRef sequence;
  ReplicaKey replica;
};
struct EmitAcceptedAction {
  int32_t prompt_tokens = 0;
};
struct EmitStartedAction {
  int32_t cached_tokens = 0;
};
struct EmitDeltaAction {
  int32_t choice = 0;
  OutputDelta output;  // never empty
  int32_t token_count = 0;
};
struct EmitFinishedAction {
  int32_t choice = 0;
  FinishReason reason = FinishReason::kStop;
  Usage usage;
};
struct EmitFailedAction {
  GenerateError error;
};
using FlowAction =
    std::variant<ChooseReplicaAction, SubmitAction, CancelSequenceAction, EmitAcceptedAction,
                 EmitStartedAction, EmitDeltaAction, EmitFinishedAction, EmitFailedAction>;
using FlowActions = std::vector<FlowAction>;

// The life of one request with all its choices: submit, wait, resume, retry, end.
//
// A pure machine: events and `now` in, actions appended to `actions`. One choice:
//
//                Start                OnPlaced              OnAccepted           OnStarted
//       (none) ---------> placing ---------------> submitted ---------> accepted ---------> started
//                          ^    | OnNotPlaced          |                   |                 |   |
//                          |    v                      |                   |                 |   |
//                          |  FAILED                   |                   |                 |   |
//                          +--- OnLost, or OnFailed that another replica may cure -----------+   |
//                               (attempt + 1, that replica excluded, tokens so far kept)         |
//                                                                              OnFinished        |
//                                                                finished <----------------------+
//
//   all choices finished                              -> the end
//   OnFailed that nothing cures, OnNotPlaced,
//   deadline, Fail(), more than resubmissions_max,
//   loss when not resumable                           -> EmitFailed, the other choices cancelled:
//   the end Cancel()                                          -> all choices cancelled, nothing
//   emitted: the end
//
// What leaves towards the client obeys: EmitAccepted once, when every choice has been accepted;
// then EmitStarted once; then deltas and one EmitFinished per choice; or EmitFailed at any point.
// Whatever a worker says too early for that order is held back. Nothing comes after the end.
//
// A worker is a peer: events that don't fit the state (a delta after the end, an unknown choice, a
// stale attempt) change nothing and are counted in ignored_events().
//
// Log-probabilities come with their tokens, and wait here until the text of those does. Those of
// tokens that turn out to be of the reasoning are dropped.
//
// Resume: the flow keeps the token ids of unfinished choices, and takes their bytes and the
// prompt's from `budget`. When the budget is spent the flow stops being resumable, gives its bytes
// back, and the loss of a worker is then its end ("worker_lost").
//
// Not thread-safe. Owned by its shard; `budget` outlives it.
class RequestFlow {
 public:
  struct Options {
    int32_t choices = 1;
    uint64_t seed = 0;  // of choice 0; choice i has seed + i
    absl::Time deadline = absl::InfiniteFuture();
    size_t prompt_bytes = 0;
    int32_t resubmissions_max = 3;  // of each choice
  };

  RequestFlow(const Options& options, ResumeBudget& budget);
  ~RequestFlow();
  RequestFlow(const RequestFlow&) = delete;
  RequestFlow& operator=(const RequestFlow&) = delete;

  // Requires to be called once, first.
  void Start(absl::Time now, FlowActions& actions);

  // Answers to ChooseReplicaAction, for choices that are being placed.
  void OnPlaced(std::span<const int32_t> choices, ReplicaKey replica, FlowActions& actions);
  // Asks again at the next Tick.
  void OnMustWait(std::span<const int32_t> choices);
  // Ends the request: with `error`, or with the loss that made the choice seek another replica.
  void OnNotPlaced(std::span<const int32_t> choices, const GenerateError& error,
                   FlowActions& actions);

  // What a worker says.
  void OnAccepted(SequenceRef sequence, int32_t prompt_tokens, FlowActions& actions);
  void OnStarted(SequenceRef sequence, int32_t cached_tokens, FlowActions& actions);
  void OnDelta(SequenceRef sequence, OutputDelta delta, std::span<const int32_t> token_ids,
               FlowActions& actions);
  void OnFinished(SequenceRef sequence, FinishReason reason, const Usage& usage,
                  FlowActions& actions);
  void OnFailed(SequenceRef sequence, const GenerateError& error, absl::Time now,
                FlowActions& actions);
  // The stream to its worker broke.
  void OnLost(SequenceRef sequence, absl::Time now, FlowActions& actions);

  // The client has gone.
  void Cancel(FlowActions& actions);
  // The router gives the request up.
  void Fail(const GenerateError& error, FlowActions& actions);
  // The deadline, and choices that wait for a replica.
  void Tick(absl::Time now, FlowActions& actions);

  bool ended() const { return ended_; }
  bool resumable() const { return resumable_; }
  // A SubmitAction may still come, so the prompt must be kept.
  bool needs_prompt() const;
  // Since when `choice` seeks a replica.
  absl::Time asked(int32_t choice) const { return At(choice).asked; }
  // A worker has accepted this choice, be it one that is lost by now.
  bool accepted(int32_t choice) const { return At(choice).accepted_once; }
  // Tokens of this choice have reached the router.
  bool resumed(int32_t choice) const { return !At(choice).token_ids.empty(); }
  // Replicas that `choice` was on and lost, or that refused it.
  std::span<const ReplicaKey> excluded(int32_t choice) const { return At(choice).excluded; }
  std::span<const int32_t> resumed_token_ids(int32_t choice) const { return At(choice).token_ids; }
  uint64_t content_bytes(int32_t choice) const { return At(choice).content_bytes; }
  uint64_t reasoning_bytes(int32_t choice) const { return At(choice).reasoning_bytes; }
  int32_t logprob_count(int32_t choice) const { return At(choice).logprob_count; }
  int32_t tool_calls(int32_t choice) const { return At(choice).tool_calls; }
  uint64_t tool_argument_bytes(int32_t choice) const { return At(choice).tool_argument_bytes; }
  // Of all finished choices; the prompt is counted once.
  const Usage& total_usage() const { return total_usage_; }
  int64_t ignored_events() const { return ignored_events_; }
  int32_t resubmissions() const { return resubmissions_; }  // of all choices
  int32_t resumes() const { return resumes_; }              // those with tokens to carry over

 private:
  enum class State { kPlacing, kSubmitted, kAccepted, kStarted, kFinished };
  struct Finish {
    FinishReason reason;
    Usage usage;
  };
  struct Choice {
    State state = State::kPlacing;
    int32_t attempt = 0;
    bool waiting = false;  // for a replica: ask again at the next Tick
    absl::Time asked;
    ReplicaKey replica;  // when submitted, accepted or started
    std::vector<ReplicaKey> excluded;
    std::optional<GenerateError> setback;  // why it left its last replica
    bool accepted_once = false;
    std::optional<int32_t> started;    // cached tokens; kept until EmitStarted
    std::vector<int32_t> token_ids;    // so far; empty when not resumable
    uint64_t content_bytes = 0;        // of text so far, emitted or held back here
    uint64_t reasoning_bytes = 0;      // likewise
    int32_t logprob_count = 0;         // so far, those of the prompt among them
    int32_t tool_calls = 0;            // that have begun so far
    uint64_t tool_argument_bytes = 0;  // of all of them together
    OutputDelta held;                  // not emitted before EmitStarted
    // Of tokens whose text a worker holds back. Kept here, since after a resume no worker tells
    // them again.
    std::vector<TokenLogprobs> unsettled_logprobs;
    int32_t settled_outputs = 0;   // logprobs of the output that have left unsettled_logprobs
    int32_t reasoning_tokens = 0;  // of the output's first tokens: known to hold no content
    int32_t held_tokens = 0;       // not yet told in an EmitDelta
    std::optional<Finish> held_finish;
  };

  const Choice& At(int32_t choice) const { return choices_[static_cast<size_t>(choice)]; }
  Choice& At(int32_t choice) { return choices_[static_cast<size_t>(choice)]; }
  // The choice if the event is of its present attempt and the request lives; else counts it.
  Choice* Find(SequenceRef sequence);
  static bool IsOnWorker(const Choice& choice);
  void EmitWhatIsDue(FlowActions& actions);
  void EmitChoice(int32_t index, FlowActions& actions);
  static void SettleLogprobs(Choice& choice);
  void KeepTokens(Choice& choice, std::span<const int32_t> token_ids);
  void StopBeingResumable();
  void Resubmit(int32_t index, GenerateError setback, absl::Time now, FlowActions& actions);
  void CancelSequences(FlowActions& actions);
  void End();

  const Options options_;
  ResumeBudget& budget_;
  std::vector<Choice> choices_;
  size_t budget_bytes_ = 0;
  bool resumable_ = true;
  bool accepted_emitted_ = false;
  bool started_emitted_ = false;
  int32_t prompt_tokens_ = 0;
  int32_t finished_count_ = 0;
  bool ended_ = false;
  Usage total_usage_;
  int64_t ignored_events_ = 0;
  int32_t resubmissions_ = 0;
  int32_t resumes_ = 0;
};

}  // namespace spillway
