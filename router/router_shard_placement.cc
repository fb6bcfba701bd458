// Where a shard's sequences go: admission's questions, and the sending.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "router/error_table.h"
#include "router/router_shard.h"
#include "router/router_shard_request.h"
#include "router/service.h"

namespace spillway {
namespace {

bool MakesEmbeddingsOnly(std::span<const ReplicaSnapshot> replicas) {
  return !replicas.empty() && std::none_of(replicas.begin(), replicas.end(),
                                           [](const auto& replica) { return replica.generates; });
}

}  // namespace

void RouterShardImpl::Choose(Request& request, const ChooseReplicaAction& action,
                             FlowActions& more) {
  if (request.flow.ended()) return;
  const int32_t first = action.choices.front();
  const bool resolved = request.service != "none";
  const GenerateRequest& asked = request.request;
  absl::StatusOr<ReplicaDirectory::View> view =
      directory_.Find(resolved                ? request.service
                      : asked.service.empty() ? asked.model
                                              : asked.service);
  if (view.ok() && !resolved && !asked.service.empty() && !view->service.empty()) {
    if (absl::Status status = CheckModelOfService(asked.model, view->service); !status.ok()) {
      view = std::move(status);
    }
  }
  if (!view.ok()) {
    request.flow.OnNotPlaced(action.choices, {.status = view.status(), .reason = "model_not_found"},
                             more);
    return;
  }
  if (!view->service.empty()) request.service = view->service;
  if (MakesEmbeddingsOnly(view->replicas)) {
    request.flow.OnNotPlaced(
        action.choices,
        {.status = absl::InvalidArgumentError(absl::StrCat(
             "model \"", request.service, "\" makes embeddings and no texts; name another one")),
         .reason = "invalid_request",
         .field = "model"},
        more);
    return;
  }
  const AdmissionDecision decision = Admit(
      {.sequences = static_cast<int32_t>(action.choices.size()),
       .asked = request.flow.asked(first),
       .deadline = request.deadline,
       .accepted = request.flow.accepted(first),
       .numerics = request.flow.resumed(first) ? request.numerics[static_cast<size_t>(first)] : 0,
       .excluded = request.flow.excluded(first)},
      view->replicas, admission_limits_, clock_.Now(), random_());
  switch (decision.verdict) {
    case Verdict::kStart:
      if (!request.offered && !request.accepted &&
          decision.predicted_wait > request.request.spill_after) {
        request.offered = true;
        request.flow.OnMustWait(action.choices);
        PostOffer(request.id);
        break;
      }
      request.record.predicted_wait = decision.predicted_wait;
      NoteNumerics(request, action.choices, decision.numerics);
      request.flow.OnPlaced(action.choices, decision.replica, more);
      break;
    case Verdict::kWait:
      request.flow.OnMustWait(action.choices);
      break;
    case Verdict::kRefuse:
      request.flow.OnNotPlaced(action.choices, RefusalError(decision, view->replicas.size()), more);
      break;
  }
}

void RouterShardImpl::NoteNumerics(Request& request, std::span<const int32_t> choices,
                                   uint64_t numerics) {
  for (const int32_t choice : choices) {
    uint64_t& begun_with = request.numerics[static_cast<size_t>(choice)];
    if (!request.flow.resumed(choice)) {
      begun_with = numerics;
    } else if (begun_with != numerics) {
      ++request.record.resumes_other_numerics;
    }
  }
}

void RouterShardImpl::SubmitSequence(Request& request, const SubmitAction& action,
                                     FlowActions& more) {
  if (request.flow.ended()) return;
  const int32_t choice = action.sequence.choice;
  const uint64_t sequence_id = MakeSequenceId(index_, next_sequence_++);
  sequences_.erase(std::exchange(request.sequence_ids[static_cast<size_t>(choice)], sequence_id));
  sequences_[sequence_id] = {request.id, action.sequence};
  const std::shared_ptr<SequenceCarrier> upstream = directory_.Upstream(action.replica.id);
  if (observer_ != nullptr) request.record.replica = directory_.ReplicaName(action.replica.id);
  const absl::Time now = clock_.Now();
  absl::Status sent = absl::UnavailableError("the worker was removed");
  if (upstream != nullptr) {
    sent =
        upstream->Submit(action.replica.attachment, sequence_id,
                         {.request = request.request,
                          .seed = action.seed,
                          .template_time_unix_s = request.template_time_unix_s,
                          .time_left = request.deadline - now,
                          .resumed_token_ids = request.flow.resumed_token_ids(choice),
                          .resumed_content_bytes = request.flow.content_bytes(choice),
                          .resumed_reasoning_bytes = request.flow.reasoning_bytes(choice),
                          .resumed_logprobs = request.flow.logprob_count(choice),
                          .resumed_tool_calls = request.flow.tool_calls(choice),
                          .resumed_tool_argument_bytes = request.flow.tool_argument_bytes(choice),
                          .prompt_tokens_estimate = PromptTokensEstimate(request.prompt_bytes)});
  }
  if (sent.ok()) return;
  const std::string_view reason = KnownReason(sent.code(), "");
  request.flow.OnFailed(action.sequence, {.status = sent, .reason = std::string(reason)}, now,
                        more);
}

void RouterShardImpl::CancelSequence(Request& request, const CancelSequenceAction& action) {
  const uint64_t sequence_id = request.sequence_ids[static_cast<size_t>(action.sequence.choice)];
  const std::shared_ptr<SequenceCarrier> upstream = directory_.Upstream(action.replica.id);
  if (upstream != nullptr) upstream->Cancel(sequence_id);
  sequences_.erase(sequence_id);
}

int64_t RouterShardImpl::PromptTokensEstimate(size_t prompt_bytes) const {
  return 1 + static_cast<int64_t>(static_cast<double>(prompt_bytes) / bytes_per_prompt_token_);
}

}  // namespace spillway
