#include "router/router_shard.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "router/error_table.h"
#include "router/router_shard_request.h"
#include "router/spill_policy.h"
#include "router/token_account.h"

namespace spillway {
namespace {

// How often an observer hears of what goes on. With the ledger's own delay it is under a second
// from a token's delivery to its being on the disk.
constexpr absl::Duration kProgressEvery = absl::Milliseconds(200);

// How fast the average of bytes per token follows the prompts.
constexpr double kAverageWeight = 0.05;
constexpr std::string_view kSpilled = "spilled";  // an outcome

size_t PromptBytes(const GenerateRequest& request) {
  size_t bytes = 0;
  if (const auto* chat = std::get_if<ChatPrompt>(&request.prompt)) {
    bytes =
        chat->messages_json.size() + chat->tools_json.size() + chat->template_kwargs_json.size();
  } else if (const auto* text = std::get_if<std::string>(&request.prompt)) {
    bytes = text->size();
  } else {
    bytes = std::get<std::vector<int32_t>>(request.prompt).size() * sizeof(int32_t);
  }
  for (const std::string& stop : request.stop_strings) bytes += stop.size();
  return bytes;
}

// Who got nothing owes nothing.
DeliveredTokenCounts Billed(const RequestRecord& record) {
  const int32_t delivered = DeliveredTokens(record);
  if (record.outcome != "finished" && delivered == 0) return {};
  return {.prompt_tokens = record.prompt_tokens,
          .cached_tokens = record.cached_tokens,
          .completion_tokens = delivered};
}

bool IsForSink(const FlowAction& action) {
  return !std::holds_alternative<ChooseReplicaAction>(action) &&
         !std::holds_alternative<SubmitAction>(action) &&
         !std::holds_alternative<CancelSequenceAction>(action);
}

}  // namespace

void ShardMailbox::Post(Function function) {
  MutexLock lock(mutex_);
  if (!closed_) post_(std::move(function));
}

void ShardMailbox::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
}

void RouterShardImpl::Inbox::PostEvents(std::vector<UpstreamEvent> events) {
  // std::function wants to be copied, the events don't.
  auto shared = std::make_shared<std::vector<UpstreamEvent>>(std::move(events));
  mailbox_->Post([link = link_, shared] {
    if (link->shard != nullptr) link->shard->OnEvents(std::move(*shared));
  });
}

void RouterShardImpl::Inbox::PostFailAll(GenerateError error) {
  mailbox_->Post([link = link_, error = std::move(error)] {
    if (link->shard != nullptr) link->shard->FailAll(error);
  });
}

RouterShardImpl::RouterShardImpl(int32_t index, const RouterLimits& limits, uint64_t random_seed,
                                 const ReplicaDirectory& directory, const Clock& clock,
                                 MetricRegistry& metrics,
                                 std::function<void(std::function<void()>)> post)
    : index_(index),
      limits_(limits),
      admission_limits_({.return_wait = limits.return_wait, .resume_wait = limits.resume_wait}),
      directory_(directory),
      clock_(clock),
      mailbox_(std::make_shared<ShardMailbox>(std::move(post))),
      link_(std::make_shared<Inbox::Link>(Inbox::Link{this})),
      inbox_(std::make_shared<Inbox>(mailbox_, link_)),
      metrics_(metrics),
      embeddings_(index, limits, directory, clock, metrics_,
                  [mailbox = mailbox_, link = link_](std::function<void(EmbeddingFlows&)> run) {
                    mailbox->Post([link, run = std::move(run)] {
                      if (link->shard != nullptr) run(link->shard->embeddings_);
                    });
                  }),
      random_(random_seed),
      resume_budget_(limits.resume_bytes_max) {
  CHECK(index >= 0 && index < kShardsMax);
}

RouterShardImpl::~RouterShardImpl() {
  mailbox_->Close();
  link_->shard = nullptr;
}

RequestId RouterShardImpl::Submit(GenerateRequest generate_request, ResponseSink& sink) {
  const RequestId id{next_request_++};
  const absl::Time now = clock_.Now();
  const bool choices_ok =
      generate_request.choices >= 1 && generate_request.choices <= limits_.choices_max;
  const RequestFlow::Options options = {.choices = choices_ok ? generate_request.choices : 1,
                                        .seed = generate_request.sampling.seed.has_value()
                                                    ? *generate_request.sampling.seed
                                                    : random_(),
                                        .deadline = now + generate_request.timeout,
                                        .prompt_bytes = PromptBytes(generate_request),
                                        .resubmissions_max = limits_.resubmissions_max};
  const bool full = requests_in_flight() >= limits_.requests_max;
  const int32_t choices_asked = generate_request.choices;
  Request& request = *requests_
                          .emplace(id, std::make_unique<Request>(id, std::move(generate_request),
                                                                 sink, options, resume_budget_))
                          .first->second;
  request.deadline = options.deadline;
  request.prompt_bytes = options.prompt_bytes;
  request.template_time_unix_s = absl::ToUnixSeconds(clock_.WallNow());
  request.sequence_ids.resize(static_cast<size_t>(options.choices));
  request.numerics.resize(static_cast<size_t>(options.choices));
  request.record.asked = now;
  request.record.choices.resize(static_cast<size_t>(options.choices));

  FlowActions actions;
  if (!choices_ok) {
    request.flow.Fail(
        {.status = absl::InvalidArgumentError(absl::StrCat(
             "n is ", choices_asked, "; this server takes 1 to ", limits_.choices_max)),
         .reason = "invalid_request"},
        actions);
  } else if (directory_.draining()) {
    request.flow.Fail({.status = absl::UnavailableError("the server is shutting down"),
                       .reason = "draining",
                       .retry_after = admission_limits_.retry_after_min},
                      actions);
  } else if (full) {
    request.flow.Fail({.status = absl::ResourceExhaustedError(absl::StrCat(
                           "this server has ", limits_.requests_max, " requests in flight")),
                       .reason = "queue_full",
                       .retry_after = admission_limits_.retry_after_min},
                      actions);
  } else if (const std::optional<GenerateError> refusal =
                 AdmitToken(request.request.account.get(), request.request.model,
                            DemandOf(request.request, PromptTokensEstimate(request.prompt_bytes)),
                            request.quota)) {
    request.flow.Fail(*refusal, actions);
  } else {
    request.flow.Start(now, actions);
  }
  CarryOut(request, std::move(actions), /*may_tell_sink=*/false);
  return id;
}

RequestId RouterShardImpl::Embed(EmbeddingRequest request, EmbeddingSink& sink) {
  const RequestId id{next_request_++};
  embeddings_.Start(id, std::move(request), sink, requests_in_flight() >= limits_.requests_max);
  return id;
}

void RouterShardImpl::Cancel(RequestId id) {
  if (embeddings_.Cancel(id)) return;
  Request* request = Find(id);
  if (request == nullptr || request->sink == nullptr) return;
  request->sink = nullptr;
  if (request->record.outcome.empty()) {
    request->record.outcome = "cancelled";
    request->record.http_status = FindErrorRow(absl::StatusCode::kCancelled, "").http_status;
  }
  FlowActions actions;
  request->flow.Cancel(actions);
  for (const FlowAction& action : actions) {
    CancelSequence(*request, std::get<CancelSequenceAction>(action));
  }
  if (!request->busy) Forget(*request);
}

void RouterShardImpl::Tick() {
  const absl::Time now = clock_.Now();
  std::vector<RequestId> ids;
  ids.reserve(requests_.size());
  const bool tell = observer_ != nullptr && now >= next_progress_;
  if (tell) next_progress_ = now + kProgressEvery;
  for (const auto& [id, request] : requests_) {
    ids.push_back(id);
    if (tell) TellProgress(*request);
  }
  for (const RequestId id : ids) {
    Request* request = Find(id);
    if (request == nullptr || request->busy) continue;
    if (!request->offered && !request->record.started.has_value() &&
        now - request->record.asked >= request->request.spill_after) {
      request->offered = true;
      OfferElsewhere(id);
      request = Find(id);
      if (request == nullptr) continue;
    }
    FlowActions actions;
    request->flow.Tick(now, actions);
    if (!actions.empty()) CarryOut(*request, std::move(actions), /*may_tell_sink=*/true);
  }
}

void RouterShardImpl::OnEvents(std::vector<UpstreamEvent> events) {
  std::vector<RequestId> touched;
  for (UpstreamEvent& event : events) OnEvent(event, touched);
  for (const RequestId id : touched) {
    Request* request = Find(id);
    if (request == nullptr || !request->touched) continue;
    request->touched = false;
    request->sink->OnBatchEnd();
  }
}

void RouterShardImpl::OnEvent(UpstreamEvent& event, std::vector<RequestId>& touched) {
  const auto found = sequences_.find(event.sequence_id);
  if (found == sequences_.end()) return;  // It was cancelled while this was under way.
  const SequenceRef ref = found->second.ref;
  Request& request = *Find(found->second.request);
  const RequestId id = request.id;
  const bool touched_before = request.touched;
  const absl::Time now = clock_.Now();
  FlowActions actions;
  std::visit(
      [&](auto& what) {
        using What = std::decay_t<decltype(what)>;
        if constexpr (std::is_same_v<What, AcceptedEvent>) {
          request.flow.OnAccepted(ref, what.prompt_tokens, actions);
        } else if constexpr (std::is_same_v<What, StartedEvent>) {
          request.flow.OnStarted(ref, what.cached_tokens, actions);
        } else if constexpr (std::is_same_v<What, DeltaEvent>) {
          request.flow.OnDelta(ref, std::move(what.output), what.token_ids, actions);
        } else if constexpr (std::is_same_v<What, FinishedEvent>) {
          request.flow.OnFinished(ref, what.reason, what.usage, actions);
        } else if constexpr (std::is_same_v<What, FailedEvent>) {
          request.flow.OnFailed(ref, what.error, now, actions);
        } else {
          request.flow.OnLost(ref, now, actions);
        }
      },
      event.what);
  if (actions.empty()) return;
  CarryOut(request, std::move(actions), /*may_tell_sink=*/true);
  const Request* after = Find(id);
  if (after != nullptr && after->touched && !touched_before) touched.push_back(id);
}

void RouterShardImpl::FailAll(const GenerateError& error) {
  embeddings_.FailAll(error);
  std::vector<RequestId> ids;
  for (const auto& [id, request] : requests_) ids.push_back(id);
  for (const RequestId id : ids) {
    Request* request = Find(id);
    if (request == nullptr) continue;
    FlowActions actions;
    request->flow.Fail(error, actions);
    CarryOut(*request, std::move(actions), /*may_tell_sink=*/true);
  }
}

RouterShardImpl::Request* RouterShardImpl::Find(RequestId id) {
  const auto found = requests_.find(id);
  return found == requests_.end() ? nullptr : found->second.get();
}

void RouterShardImpl::CarryOut(Request& request, FlowActions actions, bool may_tell_sink) {
  CHECK(!request.busy);
  request.busy = true;
  for (size_t i = 0; i < actions.size(); ++i) {
    if (!may_tell_sink && IsForSink(actions[i])) {
      actions.erase(actions.begin(), actions.begin() + static_cast<std::ptrdiff_t>(i));
      request.busy = false;
      Post(request.id, std::move(actions));
      return;
    }
    FlowAction action = std::move(actions[i]);
    CarryOutOne(request, std::move(action), actions);
  }
  request.busy = false;
  if (request.flow.ended()) {
    Forget(request);
  } else if (!request.flow.needs_prompt()) {
    request.request.prompt = std::string();
  }
}

void RouterShardImpl::CarryOutOne(Request& request, FlowAction action, FlowActions& more) {
  if (const auto* choose = std::get_if<ChooseReplicaAction>(&action)) {
    Choose(request, *choose, more);
  } else if (const auto* submit = std::get_if<SubmitAction>(&action)) {
    SubmitSequence(request, *submit, more);
  } else if (const auto* cancel = std::get_if<CancelSequenceAction>(&action)) {
    CancelSequence(request, *cancel);
  } else {
    TellSink(request, action);
  }
}

void RouterShardImpl::Post(RequestId id, FlowActions actions) {
  auto shared = std::make_shared<FlowActions>(std::move(actions));
  mailbox_->Post([link = link_, id, shared] {
    if (link->shard == nullptr) return;
    Request* request = link->shard->Find(id);
    if (request == nullptr) return;  // Cancelled meanwhile.
    link->shard->CarryOut(*request, std::move(*shared), /*may_tell_sink=*/true);
  });
}

void RouterShardImpl::TellSink(Request& request, const FlowAction& action) {
  if (request.sink == nullptr) return;  // It cancelled in an earlier call of this very batch.
  ResponseSink& sink = *request.sink;
  RequestRecord& record = request.record;
  request.touched = true;
  if (const auto* accepted = std::get_if<EmitAcceptedAction>(&action)) {
    request.accepted = true;
    record.prompt_tokens = accepted->prompt_tokens;
    if (accepted->prompt_tokens > 0 &&
        !std::holds_alternative<std::vector<int32_t>>(request.request.prompt)) {
      const double ratio = static_cast<double>(request.prompt_bytes) / accepted->prompt_tokens;
      bytes_per_prompt_token_ += kAverageWeight * (ratio - bytes_per_prompt_token_);
    }
    sink.OnAccepted(accepted->prompt_tokens);
  } else if (const auto* started = std::get_if<EmitStartedAction>(&action)) {
    record.started = clock_.Now();
    record.cached_tokens = started->cached_tokens;
    sink.OnStarted(started->cached_tokens);
  } else if (const auto* delta = std::get_if<EmitDeltaAction>(&action)) {
    NoteDelta(request, *delta);
    sink.OnDelta(delta->choice, delta->output, delta->token_count);
  } else if (const auto* finished = std::get_if<EmitFinishedAction>(&action)) {
    record.choices[static_cast<size_t>(finished->choice)].finished = finished->reason;
    if (request.flow.ended()) record.outcome = "finished";
    sink.OnFinished(finished->choice, finished->reason, finished->usage);
  } else if (const auto* failed = std::get_if<EmitFailedAction>(&action)) {
    if (IsTakenElsewhere(request, failed->error)) return;
    record.outcome = KnownReason(failed->error.status.code(), failed->error.reason);
    record.http_status = FindErrorRow(failed->error.status.code(), record.outcome).http_status;
    sink.OnFailed(failed->error);
  }
}

bool RouterShardImpl::IsTakenElsewhere(Request& request, const GenerateError& why) {
  if (request.accepted || !IsExhaustion(why.reason)) return false;
  // Whoever takes it needs its place in the token's quota.
  request.quota = QuotaReservation();
  if (!request.sink->TakeElsewhere(why)) return false;
  request.sink = nullptr;
  request.record.outcome = kSpilled;
  return true;
}

void RouterShardImpl::PostOffer(RequestId id) {
  mailbox_->Post([link = link_, id] {
    if (link->shard == nullptr) return;
    link->shard->OfferElsewhere(id);
    Request* request = link->shard->Find(id);
    if (request == nullptr || request->busy) return;
    FlowActions actions;
    request->flow.Tick(link->shard->clock_.Now(), actions);
    if (!actions.empty()) {
      link->shard->CarryOut(*request, std::move(actions), /*may_tell_sink=*/true);
    }
  });
}

void RouterShardImpl::OfferElsewhere(RequestId id) {
  Request* request = Find(id);
  if (request == nullptr || request->busy || request->sink == nullptr || request->flow.ended() ||
      request->record.started.has_value()) {
    return;
  }
  const GenerateError why = {
      .status = absl::ResourceExhaustedError("it would wait too long for a worker here"),
      .reason = std::string(kWaitOverSpillAfter)};
  if (!request->sink->TakeElsewhere(why)) return;
  request->record.outcome = kSpilled;
  Cancel(id);
}

void RouterShardImpl::NoteDelta(Request& request, const EmitDeltaAction& delta) {
  RequestRecord& record = request.record;
  RequestRecord::Choice& choice = record.choices[static_cast<size_t>(delta.choice)];
  const absl::Time now = clock_.Now();
  if (choice.first_delta.has_value()) {
    record.gaps.Add(now - choice.last_delta, delta.token_count);
  } else {
    choice.first_delta = now;
  }
  choice.last_delta = now;
  choice.tokens += delta.token_count;
}

void RouterShardImpl::Forget(Request& request) {
  for (const uint64_t sequence_id : request.sequence_ids) sequences_.erase(sequence_id);
  RequestRecord& record = request.record;
  record.resubmissions = request.flow.resubmissions();
  record.resumes = request.flow.resumes();
  record.resumable = request.flow.resumable();
  record.ignored_events = request.flow.ignored_events();
  if (record.outcome == "finished") record.total_usage = request.flow.total_usage();
  record.ended = clock_.Now();
  const DeliveredTokenCounts billed = Billed(record);
  request.quota.Settle(int64_t{billed.prompt_tokens} + billed.completion_tokens);
  // Whoever took it tells of it.
  if (record.outcome != kSpilled) {
    metrics_.Observe(request.service, record);
    if (observer_ != nullptr) Observe(request);
  }
  requests_.erase(request.id);
}

void RouterShardImpl::TellProgress(Request& request) {
  const DeliveredTokenCounts billed = Billed(request.record);
  const DeliveredTokenCounts told = request.told;
  if (billed.completion_tokens == told.completion_tokens) return;
  observer_->OnProgress(
      {.token_id = TokenIdOf(request.request.account),
       .service = request.service,
       .provider = {},
       .delivered = {.prompt_tokens = billed.prompt_tokens - told.prompt_tokens,
                     .cached_tokens = billed.cached_tokens - told.cached_tokens,
                     .completion_tokens = billed.completion_tokens - told.completion_tokens}});
  request.told = billed;
}

void RouterShardImpl::Observe(const Request& request) {
  const RequestRecord& record = request.record;
  RequestSummary summary = {.request_id = request.request.request_id,
                            .token_id = TokenIdOf(request.request.account),
                            .token = request.request.token_name,
                            .service = request.service,
                            .replica = record.replica,
                            .outcome = record.outcome,
                            .http_status = record.http_status,
                            .prompt_tokens = record.prompt_tokens,
                            .cached_tokens = record.cached_tokens,
                            .completion_tokens = DeliveredTokens(record),
                            .took = record.ended - record.asked,
                            .resumes = record.resumes,
                            .traceparent = request.request.traceparent,
                            .billed = Billed(record),
                            .told = request.told};
  if (record.choices.front().finished) {
    summary.finish = FinishWord(*record.choices.front().finished);
  }
  if (record.started) summary.queued = *record.started - record.asked;
  if (const auto first = FirstText(record)) summary.to_text = *first - record.asked;
  observer_->OnRequestEnd(summary);
}

}  // namespace spillway
