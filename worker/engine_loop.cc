#include "worker/engine_loop.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"

namespace spillway {
namespace {

// Rows of a prompt that come from the prefix cache have no logits, so a sequence that wants those
// has a salt that nobody shares. Tenants' salts are hashes, and so not likely to be one of these.
uint64_t CacheSaltOf(const Generation& generation) {
  constexpr uint64_t kOwn = uint64_t{0xE4A7} << 48;
  const EngineRequest& request = generation.request();
  return generation.scores_prompt() ? kOwn + static_cast<uint64_t>(request.id) : request.cache_salt;
}

}  // namespace

EngineLoop::EngineLoop(const EngineLimits& limits, const SchedulerLimits& scheduler_limits,
                       Executor& executor, const Tokenizer& tokenizer, const Clock& clock,
                       EngineSink& sink)
    : limits_(limits),
      executor_(executor),
      tokenizer_(tokenizer),
      clock_(clock),
      sink_(sink),
      commands_(limits.commands_max),
      sign_({.patience = limits.patience.least + limits.idle_wait}),
      scheduler_(scheduler_limits),
      patience_(limits.patience) {}

EngineLoop::~EngineLoop() { Stop(); }

bool EngineLoop::Submit(EngineRequest request) {
  return commands_.TryPush(std::make_unique<Generation>(std::move(request), tokenizer_));
}

void EngineLoop::Cancel(SequenceId id) {
  {
    MutexLock lock(cancels_mutex_);
    cancels_.push_back(id);
  }
  // Should the queue be full, then the loop is awake and sees cancels_ anyway.
  commands_.TryPush(WakeCommand{});
}

void EngineLoop::ResetPrefixCache() { commands_.TryPush(ResetCommand{}); }

void EngineLoop::Stop() {
  stopping_.store(true);
  commands_.Close();
}

absl::Status EngineLoop::Run() {
  absl::Status status;
  while (status.ok() && !stopping_.load()) status = RunOnce(limits_.idle_wait);
  if (status.ok()) {
    FailAll(absl::UnavailableError("the worker is stopping"), "worker_stopping");
  } else {
    FailAll(status, "device_failed");
  }
  Flush();
  return status;
}

void EngineLoop::GiveSign() {
  absl::Duration steps;
  for (const InFlight& step : in_flight_) steps += patience_.For(step.work);
  MutexLock lock(sign_mutex_);
  ++sign_.turn;
  sign_.patience = limits_.idle_wait + std::max(patience_.least(), steps);
}

EngineSign EngineLoop::sign() const {
  MutexLock lock(sign_mutex_);
  return sign_;
}

absl::Status EngineLoop::RunOnce(absl::Duration idle_wait) {
  GiveSign();
  TakeCommands(idle() ? idle_wait : absl::ZeroDuration());
  absl::StatusOr<bool> launched = false;
  if (scheduler_.plans_in_flight() < Scheduler::kPlansInFlightMax) launched = LaunchNext();
  if (!events_.empty()) Flush();  // Accepted and Started don't wait for the step to end.
  if (!launched.ok()) return launched.status();
  const bool pipeline_full = scheduler_.plans_in_flight() == Scheduler::kPlansInFlightMax;
  if (in_flight_.empty()) {
    Flush();  // Nothing runs: routers should know.
    return absl::OkStatus();
  }
  if (*launched && !pipeline_full) return absl::OkStatus();
  const absl::Status collected = CollectOldest();
  Flush();
  return collected;
}

void EngineLoop::TakeCommands(absl::Duration wait) {
  commands_.PopAll(taken_, wait);
  // Whoever cancels a sequence had submitted it before, so with the cancellations read first and
  // the arrivals once more after them, no cancellation can miss its sequence.
  {
    MutexLock lock(cancels_mutex_);
    taken_cancels_.swap(cancels_);
  }
  commands_.PopAll(taken_, absl::ZeroDuration());
  for (Command& command : taken_) {
    if (auto* generation = std::get_if<std::unique_ptr<Generation>>(&command)) {
      Add(std::move(*generation));
    } else if (std::holds_alternative<ResetCommand>(command)) {
      scheduler_.ResetPrefixCache();
    }
  }
  for (SequenceId id : taken_cancels_) {
    scheduler_.Cancel(id);
    Retire(id);
  }
  taken_.clear();
  taken_cancels_.clear();
}

void EngineLoop::Add(std::unique_ptr<Generation> generation) {
  const EngineRequest& request = generation->request();
  const SequenceId id = request.id;
  const std::optional<EndReason> ended = generation->Replay();
  Generation& added = *generation;
  CHECK(generations_.emplace(id, std::move(generation)).second);

  if (!ended.has_value()) {
    const absl::Status status =
        scheduler_.Add({.id = id,
                        .prompt = added.tokens(),
                        .new_tokens_max = request.new_tokens_max - added.output_tokens(),
                        .priority = request.priority,
                        .tenant = request.tenant,
                        .arrival = request.arrival,
                        .deadline = request.deadline,
                        .cache_salt = CacheSaltOf(added)});
    if (!status.ok()) {
      const bool full = absl::IsResourceExhausted(status);
      return Fail(id, status, full ? "queue_full" : "context_length_exceeded");
    }
  }
  events_.push_back({id, AcceptedEvent{added.prompt_tokens()}});
  if (!ended.has_value()) return;
  OnStarted({.sequence = id});
  End(id, *ended);
}

absl::StatusOr<bool> EngineLoop::LaunchNext() {
  const absl::Time now = clock_.Now();
  const StepPlan& plan = scheduler_.PlanStep(now);
  ReportPlan(plan);
  if (plan.slices.empty()) return false;

  rows_.clear();
  InFlight step;
  step.launched = now;
  for (const StepSlice& slice : plan.slices) {
    rows_.push_back(MakeRow(slice, step));
    step.work.Add(slice.begin, slice.count);
  }
  absl::StatusOr<Ticket> ticket = executor_.Launch(rows_);
  if (!ticket.ok()) return ticket.status();
  step.ticket = *ticket;
  in_flight_.push_back(std::move(step));
  GiveSign();
  return true;
}

StepRow EngineLoop::MakeRow(const StepSlice& slice, InFlight& step) {
  (slice.count == 1 && slice.samples ? step.step.decode_tokens : step.step.prefill_tokens) +=
      slice.count;
  const auto found = generations_.find(slice.sequence);
  CHECK(found != generations_.end());
  Generation& generation = *found->second;
  StepRow row;
  row.slice = slice;
  if (const auto scores = generation.TakeScores(slice.begin, slice.count);
      scores.begin < scores.end) {
    step.scoring.push_back({slice.sequence, scores});
    row.history = generation.tokens();
    row.score_begin = scores.begin;
    row.score_end = scores.end;
    row.score_top = generation.request().prompt_top_logprobs;
  }
  if (!slice.samples) return row;
  step.sampling.push_back(slice.sequence);
  row.sampling = &generation.request().sampling;
  row.history = generation.tokens();
  row.prompt_tokens = generation.prompt_tokens();
  row.mask = generation.mask();
  row.banned = generation.BannedAt(slice.begin + slice.count - generation.prompt_tokens());
  return row;
}

void EngineLoop::ReportPlan(const StepPlan& plan) {
  for (const SequenceStart& start : plan.started) OnStarted(start);
  for (SequenceId id : plan.expired) {
    Fail(id, absl::DeadlineExceededError("the request's deadline passed"), "deadline");
  }
}

void EngineLoop::OnStarted(const SequenceStart& start) {
  Generation& generation = *generations_.at(start.sequence);
  generation.started = clock_.Now();
  generation.cached_tokens = start.cached_tokens;
  events_.push_back({start.sequence, StartedEvent{start.cached_tokens}});
  // What there is to tell before anything has been computed.
  DeltaEvent delta = {.text = std::move(generation.text_at_start),
                      .reasoning_tokens = generation.reasoning_tokens()};
  const EngineRequest& request = generation.request();
  if (request.prompt_top_logprobs >= 0 && request.resumed_logprobs == 0) {
    const TokenId first = request.prompt.front();
    delta.logprobs.push_back(
        {.token = first, .of_prompt = true, .silent = tokenizer_.IsControl(first)});
  }
  generation.TakeEcho(generation.scores_prompt() ? generation.scored() : generation.prompt_tokens(),
                      delta.text.content);
  if (delta.text.empty() && delta.logprobs.empty()) return;
  events_.push_back({start.sequence, std::move(delta)});
}

void EngineLoop::OnScores(std::span<const Scoring> scoring, std::span<const TokenScore> scores) {
  for (const Scoring& scored : scoring) {
    const auto count = static_cast<size_t>(scored.tokens.end - scored.tokens.begin);
    CHECK(count <= scores.size());
    // Gone if it ended or was cancelled while the step ran.
    if (const auto found = generations_.find(scored.sequence); found != generations_.end()) {
      TellScores(*found->second, scored.tokens, scores.first(count));
    }
    scores = scores.subspan(count);
  }
  CHECK(scores.empty());
}

void EngineLoop::TellScores(Generation& generation, Generation::ScoreRange tokens,
                            std::span<const TokenScore> scores) {
  const EngineRequest& request = generation.request();
  DeltaEvent delta;
  const auto tell = [&](int32_t end) {
    generation.TakeEcho(end, delta.text.content);
    events_.push_back({request.id, std::exchange(delta, {})});
  };
  for (int32_t index = tokens.begin; index < tokens.end; ++index) {
    const TokenScore& score = scores[static_cast<size_t>(index - tokens.begin)];
    if (std::isnan(score.logprob)) {
      scheduler_.Cancel(request.id);
      return FailNotANumber(request.id);
    }
    const TokenId token = request.prompt[static_cast<size_t>(index)];
    delta.logprobs.push_back({.token = token,
                              .of_prompt = true,
                              .silent = tokenizer_.IsControl(token),
                              .logprob = score.logprob,
                              .rank = score.rank,
                              .top = {score.top.begin(), score.top.end()},
                              .content_begin = generation.EchoBeginOf(index)});
    if (static_cast<int32_t>(delta.logprobs.size()) == limits_.delta_logprobs_max) tell(index + 1);
  }
  if (!delta.logprobs.empty()) tell(tokens.end);
}

absl::Status EngineLoop::CollectOldest() {
  InFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  absl::StatusOr<std::span<const SampledToken>> tokens = executor_.Collect(step.ticket);
  if (!tokens.ok()) return tokens.status();
  CHECK(tokens->size() == step.sampling.size());

  const absl::Time now = clock_.Now();
  step.step.took = now - std::max(step.launched, last_collected_);
  last_collected_ = now;
  meter_.Record(step.step);
  patience_.Observe(step.work, step.step.took);

  OnScores(step.scoring, executor_.prompt_scores());
  sampled_.clear();
  for (size_t i = 0; i < tokens->size(); ++i) {
    const SampledToken& token = (*tokens)[i];
    sampled_.push_back({.token = token.token, .stop = OnSampled(step.sampling[i], token)});
  }
  for (const FinishedSequence& finished : scheduler_.CompleteStep(sampled_, step.step.took)) {
    // What ended by Generation's word is gone already; both count the same tokens, so the scheduler
    // ends nothing on its own.
    CHECK(!generations_.contains(finished.sequence));
  }
  while (!retired_.empty() && retired_.front().last <= step.ticket) retired_.pop_front();
  return absl::OkStatus();
}

bool EngineLoop::OnSampled(SequenceId id, const SampledToken& sampled) {
  const auto found = generations_.find(id);
  if (found == generations_.end()) return true;  // Ended or cancelled while the step ran.
  Generation& generation = *found->second;
  const TokenId token = sampled.token;
  if (token == SampledToken::kNone) {
    FailNotANumber(id);
    return true;
  }
  if (generation.first_token == absl::Time()) generation.first_token = clock_.Now();
  if (generation.request().prompt_only) {
    End(id, EndReason::kLength);
    return true;
  }
  DeltaEvent delta;
  if (generation.request().sampling.top_logprobs >= 0) {
    delta.logprobs.push_back({.token = token,
                              .silent = generation.IsSilent(token),
                              .logprob = sampled.score.logprob,
                              .rank = sampled.score.rank,
                              .top = {sampled.score.top.begin(), sampled.score.top.end()},
                              .content_begin = generation.content_begin()});
  }
  const std::optional<EndReason> ended = generation.OnToken(token, delta.text);
  delta.reasoning_tokens = generation.reasoning_tokens();
  delta.tokens.push_back(token);
  events_.push_back({id, std::move(delta)});
  if (ended.has_value()) End(id, *ended);
  return ended.has_value();
}

void EngineLoop::End(SequenceId id, EndReason reason) {
  const Generation& generation = *generations_.at(id);
  const absl::Time now = clock_.Now();
  const absl::Time arrival = generation.request().arrival;
  // One that ended in its replay never started.
  const absl::Time started = std::max(generation.started, arrival);
  const absl::Time first_token = std::max(generation.first_token, started);
  EndedEvent ended = {.reason = reason,
                      .stop_string = generation.stop_string(),
                      .usage = {.prompt_tokens = generation.prompt_tokens(),
                                .cached_tokens = generation.cached_tokens,
                                .completion_tokens = generation.output_tokens(),
                                .reasoning_tokens = generation.reasoning_tokens()},
                      .timings = {.queue = started - arrival,
                                  .prefill = first_token - started,
                                  .decode = now - first_token}};
  events_.push_back({id, std::move(ended)});
  Retire(id);
}

void EngineLoop::Fail(SequenceId id, absl::Status status, std::string_view reason) {
  if (!generations_.contains(id)) return;
  events_.push_back({id, FailedEvent{std::move(status), std::string(reason)}});
  Retire(id);
}

void EngineLoop::FailNotANumber(SequenceId id) {
  Fail(id, absl::InternalError("the model's output is not a number"), "not_a_number");
}

void EngineLoop::FailAll(const absl::Status& status, std::string_view reason) {
  while (!generations_.empty()) Fail(generations_.begin()->first, status, reason);
}

void EngineLoop::Retire(SequenceId id) {
  const auto found = generations_.find(id);
  if (found == generations_.end()) return;
  if (!in_flight_.empty()) {
    retired_.push_back({in_flight_.back().ticket, std::move(found->second)});
  }
  generations_.erase(found);
}

void EngineLoop::Flush() {
  sink_.OnStep(events_, Load());
  events_.clear();
}

EngineLoad EngineLoop::Load() const {
  const SchedulerLoad load = scheduler_.load();
  return {.running = load.running,
          .waiting = load.waiting,
          .waiting_prompt_tokens = load.waiting_prompt_tokens,
          .kv_blocks_free = load.blocks_free,
          .kv_blocks_total = load.blocks_total,
          .step_ms = meter_.step_ms(),
          .prefill_tokens_per_s = meter_.prefill_tokens_per_s(),
          .decode_tokens_per_s = meter_.decode_tokens_per_s(),
          .steps = meter_.steps(),
          .prefix_query_tokens = load.prefix_query_tokens,
          .prefix_hit_tokens = load.prefix_hit_tokens,
          .preemptions = load.preemptions,
          .newcomer = load.newcomer};
}

bool EngineLoop::idle() const { return in_flight_.empty() && generations_.empty(); }

}  // namespace spillway
