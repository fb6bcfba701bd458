#include "router/request_flow.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "router/error_table.h"

namespace spillway {
namespace {

GenerateError WorkerLost() {
  return {.status = absl::UnavailableError("the worker was lost and no other could go on"),
          .reason = "worker_lost"};
}

GenerateError DeadlinePassed() {
  return {.status = absl::DeadlineExceededError("the request's time was up before its answer"),
          .reason = "deadline"};
}

// A worker's CANCELLED is not the client's: nobody here asked for it, so the sequence was lost.
GenerateError FromWorker(const GenerateError& error) {
  if (error.status.code() == absl::StatusCode::kCancelled) return WorkerLost();
  return error;
}

}  // namespace

bool ResumeBudget::TryTake(size_t bytes) {
  if (bytes > bytes_max_ - bytes_used_) return false;
  bytes_used_ += bytes;
  return true;
}

void ResumeBudget::GiveBack(size_t bytes) {
  CHECK(bytes <= bytes_used_);
  bytes_used_ -= bytes;
}

RequestFlow::RequestFlow(const Options& options, ResumeBudget& budget)
    : options_(options), budget_(budget), choices_(static_cast<size_t>(options.choices)) {
  CHECK(options.choices > 0);
}

RequestFlow::~RequestFlow() { budget_.GiveBack(budget_bytes_); }

void RequestFlow::Start(absl::Time now, FlowActions& actions) {
  if (budget_.TryTake(options_.prompt_bytes)) {
    budget_bytes_ = options_.prompt_bytes;
  } else {
    resumable_ = false;
  }
  ChooseReplicaAction choose;
  for (int32_t i = 0; i < options_.choices; ++i) {
    At(i).asked = now;
    choose.choices.push_back(i);
  }
  actions.push_back(std::move(choose));
}

void RequestFlow::OnPlaced(std::span<const int32_t> choices, ReplicaKey replica,
                           FlowActions& actions) {
  if (ended_) return;
  for (const int32_t index : choices) {
    Choice& choice = At(index);
    CHECK(choice.state == State::kPlacing);
    choice.state = State::kSubmitted;
    choice.waiting = false;
    choice.replica = replica;
    actions.push_back(SubmitAction{.sequence = {index, choice.attempt},
                                   .replica = replica,
                                   .seed = options_.seed + static_cast<uint64_t>(index)});
  }
}

void RequestFlow::OnMustWait(std::span<const int32_t> choices) {
  if (ended_) return;
  for (const int32_t index : choices) {
    CHECK(At(index).state == State::kPlacing);
    At(index).waiting = true;
  }
}

void RequestFlow::OnNotPlaced(std::span<const int32_t> choices, const GenerateError& error,
                              FlowActions& actions) {
  if (ended_) return;
  // What sent the choice looking says more than that nothing was found.
  const std::optional<GenerateError>& setback = At(choices.front()).setback;
  Fail(setback.value_or(error), actions);
}

void RequestFlow::OnAccepted(SequenceRef sequence, int32_t prompt_tokens, FlowActions& actions) {
  Choice* choice = Find(sequence);
  if (choice == nullptr) return;
  if (choice->state != State::kSubmitted) {
    ++ignored_events_;
    return;
  }
  choice->state = State::kAccepted;
  choice->accepted_once = true;
  prompt_tokens_ = prompt_tokens;
  EmitWhatIsDue(actions);
}

void RequestFlow::OnStarted(SequenceRef sequence, int32_t cached_tokens, FlowActions& actions) {
  Choice* choice = Find(sequence);
  if (choice == nullptr) return;
  if (choice->state != State::kAccepted) {
    ++ignored_events_;
    return;
  }
  choice->state = State::kStarted;
  // A resumed sequence finds its own output in no cache; what counts is how it first began.
  if (!choice->started.has_value()) choice->started = cached_tokens;
  EmitWhatIsDue(actions);
}

void RequestFlow::OnDelta(SequenceRef sequence, OutputDelta delta,
                          std::span<const int32_t> token_ids, FlowActions& actions) {
  Choice* choice = Find(sequence);
  if (choice == nullptr) return;
  if (choice->state != State::kStarted) {
    ++ignored_events_;
    return;
  }
  KeepTokens(*choice, token_ids);
  // A choice between two workers lives from what is kept: with that gone, its loss stands.
  const auto stranded = std::find_if(choices_.begin(), choices_.end(), [](const Choice& other) {
    return other.state == State::kPlacing && other.setback.has_value();
  });
  if (!resumable_ && stranded != choices_.end()) {
    Fail(*stranded->setback, actions);
    return;
  }
  choice->content_bytes += delta.content.size();
  choice->reasoning_bytes += delta.reasoning.size();
  choice->reasoning_tokens = std::max(choice->reasoning_tokens, delta.reasoning_tokens);
  choice->held_tokens += static_cast<int32_t>(token_ids.size());
  choice->held.content += delta.content;
  choice->held.reasoning += delta.reasoning;
  choice->held.reasoning_tokens = choice->reasoning_tokens;
  for (ToolCallPiece& call : delta.tool_calls) {
    if (!call.name.empty()) ++choice->tool_calls;
    choice->tool_argument_bytes += call.arguments.size();
    choice->held.tool_calls.push_back(std::move(call));
  }
  choice->logprob_count += static_cast<int32_t>(delta.logprobs.size());
  std::move(delta.logprobs.begin(), delta.logprobs.end(),
            std::back_inserter(choice->unsettled_logprobs));
  SettleLogprobs(*choice);
  EmitWhatIsDue(actions);
}

void RequestFlow::OnFinished(SequenceRef sequence, FinishReason reason, const Usage& usage,
                             FlowActions& actions) {
  Choice* choice = Find(sequence);
  if (choice == nullptr) return;
  if (choice->state != State::kStarted) {
    ++ignored_events_;
    return;
  }
  choice->state = State::kFinished;
  choice->held_finish = Finish{reason, usage};
  choice->held_finish->usage.cached_tokens = *choice->started;
  // Nothing of it will be resumed.
  const size_t token_bytes = choice->token_ids.size() * sizeof(int32_t);
  budget_.GiveBack(token_bytes);
  budget_bytes_ -= token_bytes;
  choice->token_ids = {};
  // A stop string has cut the text of what is left, but for tokens that never had any.
  for (TokenLogprobs& logprobs : choice->unsettled_logprobs) {
    if (logprobs.silent) choice->held.logprobs.push_back(std::move(logprobs));
  }
  choice->unsettled_logprobs = {};
  EmitWhatIsDue(actions);
}

void RequestFlow::OnFailed(SequenceRef sequence, const GenerateError& error, absl::Time now,
                           FlowActions& actions) {
  Choice* choice = Find(sequence);
  if (choice == nullptr) return;
  if (!IsOnWorker(*choice)) {
    ++ignored_events_;
    return;
  }
  const GenerateError cause = FromWorker(error);
  choice->state = State::kPlacing;  // It is on no worker now: there is nothing to cancel.
  if (FindErrorRow(cause.status.code(), cause.reason).another_replica) {
    Resubmit(sequence.choice, cause, now, actions);
  } else {
    Fail(cause, actions);
  }
}

void RequestFlow::OnLost(SequenceRef sequence, absl::Time now, FlowActions& actions) {
  OnFailed(sequence, WorkerLost(), now, actions);
}

void RequestFlow::Cancel(FlowActions& actions) {
  if (ended_) return;
  CancelSequences(actions);
  End();
}

void RequestFlow::Fail(const GenerateError& error, FlowActions& actions) {
  if (ended_) return;
  CancelSequences(actions);
  actions.push_back(EmitFailedAction{error});
  End();
}

void RequestFlow::Tick(absl::Time now, FlowActions& actions) {
  if (ended_) return;
  if (now >= options_.deadline) {
    Fail(DeadlinePassed(), actions);
    return;
  }
  for (int32_t i = 0; i < options_.choices; ++i) {
    if (!At(i).waiting) continue;
    At(i).waiting = false;
    actions.push_back(ChooseReplicaAction{.choices = {i}});
  }
}

bool RequestFlow::needs_prompt() const {
  if (ended_) return false;
  return resumable_ || std::any_of(choices_.begin(), choices_.end(), [](const Choice& choice) {
           return choice.state == State::kPlacing;
         });
}

RequestFlow::Choice* RequestFlow::Find(SequenceRef sequence) {
  if (ended_ || sequence.choice < 0 || sequence.choice >= options_.choices ||
      At(sequence.choice).attempt != sequence.attempt) {
    ++ignored_events_;
    return nullptr;
  }
  return &At(sequence.choice);
}

bool RequestFlow::IsOnWorker(const Choice& choice) {
  return choice.state == State::kSubmitted || choice.state == State::kAccepted ||
         choice.state == State::kStarted;
}

void RequestFlow::EmitWhatIsDue(FlowActions& actions) {
  if (!accepted_emitted_) {
    if (!std::all_of(choices_.begin(), choices_.end(),
                     [](const Choice& choice) { return choice.accepted_once; })) {
      return;
    }
    accepted_emitted_ = true;
    actions.push_back(EmitAcceptedAction{prompt_tokens_});
  }
  if (!started_emitted_) {
    const auto first = std::find_if(choices_.begin(), choices_.end(), [](const Choice& choice) {
      return choice.started.has_value();
    });
    if (first == choices_.end()) return;
    started_emitted_ = true;
    actions.push_back(EmitStartedAction{*first->started});
  }
  for (int32_t i = 0; i < options_.choices; ++i) EmitChoice(i, actions);
  if (finished_count_ == options_.choices) End();
}

void RequestFlow::EmitChoice(int32_t index, FlowActions& actions) {
  Choice& choice = At(index);
  if (!choice.held.empty()) {
    actions.push_back(EmitDeltaAction{.choice = index,
                                      .output = std::exchange(choice.held, {}),
                                      .token_count = std::exchange(choice.held_tokens, 0)});
  }
  if (choice.held_finish.has_value()) {
    const Usage& usage = choice.held_finish->usage;
    total_usage_.prompt_tokens = usage.prompt_tokens;
    total_usage_.cached_tokens = std::max(total_usage_.cached_tokens, usage.cached_tokens);
    total_usage_.completion_tokens += usage.completion_tokens;
    total_usage_.reasoning_tokens += usage.reasoning_tokens;
    actions.push_back(EmitFinishedAction{index, choice.held_finish->reason, usage});
    choice.held_finish.reset();
    ++finished_count_;
  }
}

// Those of which some text is there go with it; those of the reasoning go nowhere.
void RequestFlow::SettleLogprobs(Choice& choice) {
  std::vector<TokenLogprobs>& from = choice.unsettled_logprobs;
  auto next = from.begin();
  for (; next != from.end(); ++next) {
    const bool of_reasoning = choice.settled_outputs < choice.reasoning_tokens;
    if (!next->of_prompt) {
      if (!of_reasoning && next->content_begin >= choice.content_bytes) break;
      ++choice.settled_outputs;
    }
    if (next->of_prompt || !of_reasoning) choice.held.logprobs.push_back(std::move(*next));
  }
  from.erase(from.begin(), next);
}

void RequestFlow::KeepTokens(Choice& choice, std::span<const int32_t> token_ids) {
  if (!resumable_ || token_ids.empty()) return;
  if (!budget_.TryTake(token_ids.size_bytes())) {
    StopBeingResumable();
    return;
  }
  budget_bytes_ += token_ids.size_bytes();
  choice.token_ids.insert(choice.token_ids.end(), token_ids.begin(), token_ids.end());
}

void RequestFlow::StopBeingResumable() {
  resumable_ = false;
  budget_.GiveBack(std::exchange(budget_bytes_, 0));
  for (Choice& choice : choices_) choice.token_ids = {};
}

void RequestFlow::Resubmit(int32_t index, GenerateError setback, absl::Time now,
                           FlowActions& actions) {
  Choice& choice = At(index);
  if (!resumable_ || choice.attempt >= options_.resubmissions_max) {
    Fail(setback, actions);
    return;
  }
  if (now >= options_.deadline) {
    Fail(DeadlinePassed(), actions);
    return;
  }
  choice.excluded.push_back(choice.replica);
  choice.setback = std::move(setback);
  choice.asked = now;
  ++choice.attempt;
  ++resubmissions_;
  if (!choice.token_ids.empty()) ++resumes_;
  actions.push_back(ChooseReplicaAction{.choices = {index}});
}

void RequestFlow::CancelSequences(FlowActions& actions) {
  for (int32_t i = 0; i < options_.choices; ++i) {
    const Choice& choice = At(i);
    if (!IsOnWorker(choice)) continue;
    actions.push_back(
        CancelSequenceAction{.sequence = {i, choice.attempt}, .replica = choice.replica});
  }
}

void RequestFlow::End() {
  ended_ = true;
  budget_.GiveBack(std::exchange(budget_bytes_, 0));
  for (Choice& choice : choices_) choice.token_ids = {};
}

}  // namespace spillway
