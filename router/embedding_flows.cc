#include "router/embedding_flows.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "router/error_table.h"
#include "router/service.h"

namespace spillway {
namespace {

size_t BytesOf(const EmbeddingInput& input) {
  if (const auto* text = std::get_if<std::string>(&input)) return text->size();
  // On the wire an id takes at most five.
  return 5 * std::get<std::vector<int32_t>>(input).size();
}

// What a token's quota takes for it; its own count corrects that.
int64_t TokensEstimate(const EmbeddingRequest& request) {
  constexpr size_t kBytesPerToken = 4;
  size_t tokens = 0;
  for (const EmbeddingInput& input : request.inputs) {
    const auto* text = std::get_if<std::string>(&input);
    tokens += text != nullptr ? 1 + text->size() / kBytesPerToken
                              : std::get<std::vector<int32_t>>(input).size();
  }
  return static_cast<int64_t>(tokens);
}

bool IsCandidate(const ReplicaSnapshot& replica, const std::vector<ReplicaKey>& excluded) {
  return replica.ready && !replica.draining && replica.embed_inputs_max > 0 &&
         std::find(excluded.begin(), excluded.end(), replica.key) == excluded.end();
}

// Why no replica of the service can take it.
GenerateError NoCandidate(const ReplicaDirectory::View& view) {
  const bool texts =
      std::any_of(view.replicas.begin(), view.replicas.end(), [](const ReplicaSnapshot& replica) {
        return replica.ready && replica.generates && replica.embed_inputs_max == 0;
      });
  if (texts) {
    return {.status = absl::InvalidArgumentError(
                absl::StrCat("model \"", view.service,
                             "\" writes texts and makes no embeddings; name an embedding model")),
            .reason = "invalid_request",
            .field = "model"};
  }
  return {.status = absl::UnavailableError(absl::StrCat(
              "no healthy upstream: none of ", view.replicas.size(), " replicas is ready")),
          .reason = "no_ready_replica",
          .retry_after = absl::Seconds(1)};
}

// "input 3: …" counts the inputs of a part; the client counts those of its request.
absl::Status CountFrom(const absl::Status& status, size_t begin) {
  constexpr std::string_view kWord = "input ";
  const std::string_view message(status.message().data(), status.message().size());
  if (begin == 0 || !message.starts_with(kWord)) return status;
  const size_t end = message.find_first_not_of("0123456789", kWord.size());
  size_t index = 0;
  if (end == std::string_view::npos ||
      !absl::SimpleAtoi(std::string(message.substr(kWord.size(), end - kWord.size())), &index)) {
    return status;
  }
  return absl::Status(status.code(),
                      absl::StrCat("input ", begin + index, std::string(message.substr(end))));
}

}  // namespace

EmbeddingFlows::EmbeddingFlows(int32_t shard, const RouterLimits& limits,
                               const ReplicaDirectory& directory, const Clock& clock,
                               RequestMetrics& metrics, Post post)
    : shard_(shard),
      router_limits_(limits),
      directory_(directory),
      clock_(clock),
      metrics_(metrics),
      post_(std::move(post)) {}

EmbeddingFlows::~EmbeddingFlows() {
  for (const auto& [id, flow] : flows_) CancelCalls(flow);
}

void EmbeddingFlows::Start(RequestId id, EmbeddingRequest request, EmbeddingSink& sink, bool full) {
  const absl::Time now = clock_.Now();
  Flow& flow = flows_[id];
  flow.deadline = now + request.timeout;
  flow.request = std::move(request);
  flow.sink = &sink;
  flow.asked = now;
  if (directory_.draining()) {
    PostFailure(id, {.status = absl::UnavailableError("the server is shutting down"),
                     .reason = "draining",
                     .retry_after = absl::Seconds(1)});
  } else if (full) {
    PostFailure(id, {.status = absl::ResourceExhaustedError(absl::StrCat(
                         "this server has ", router_limits_.requests_max, " requests in flight")),
                     .reason = "queue_full",
                     .retry_after = absl::Seconds(1)});
  } else if (std::optional<GenerateError> refusal =
                 AdmitToken(flow.request.account.get(), flow.request.model,
                            {.prompt_tokens = TokensEstimate(flow.request)}, flow.quota)) {
    PostFailure(id, *std::move(refusal));
  } else {
    Begin(id, flow);
  }
}

void EmbeddingFlows::Begin(RequestId id, Flow& flow) {
  for (size_t i = 0; i < flow.request.inputs.size(); ++i) {
    const size_t bytes = BytesOf(flow.request.inputs[i]);
    if (bytes <= limits_.text_bytes_max) continue;
    PostFailure(
        id,
        {.status = absl::InvalidArgumentError(absl::StrCat(
             "input ", i, " has ", bytes, " bytes, beyond the limit of ", limits_.text_bytes_max)),
         .reason = "invalid_request",
         .field = "input"});
    return;
  }
  const std::string& service = flow.request.service;
  absl::StatusOr<ReplicaDirectory::View> view =
      directory_.FindForEmbedding(service.empty() ? flow.request.model : service);
  if (view.ok() && !service.empty() && !view->service.empty()) {
    if (absl::Status status = CheckModelOfService(flow.request.model, view->service);
        !status.ok()) {
      view = std::move(status);
    }
  }
  if (!view.ok()) {
    PostFailure(id, {.status = view.status(), .reason = "model_not_found"});
    return;
  }
  if (!view->service.empty()) flow.service = view->service;
  size_t inputs_max = 0;
  for (const ReplicaSnapshot& replica : view->replicas) {
    if (!IsCandidate(replica, {})) continue;
    const auto of_replica = static_cast<size_t>(replica.embed_inputs_max);
    inputs_max = inputs_max == 0 ? of_replica : std::min(inputs_max, of_replica);
  }
  if (inputs_max == 0) {
    PostFailure(id, NoCandidate(*view));
    return;
  }
  flow.answer.service = flow.service;
  flow.answer.vectors.resize(flow.request.inputs.size());
  flow.parts = Split(flow.request, inputs_max);
  flow.unfinished = flow.parts.size();
  for (size_t part = 0; part < flow.parts.size(); ++part) Send(id, flow, part);
}

std::vector<EmbeddingFlows::Part> EmbeddingFlows::Split(const EmbeddingRequest& request,
                                                        size_t inputs_max) const {
  std::vector<Part> parts;
  size_t bytes = 0;
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    const size_t more = BytesOf(request.inputs[i]);
    if (parts.empty() || i - parts.back().begin >= inputs_max ||
        bytes + more > limits_.part_bytes) {
      parts.push_back({.begin = i});
      bytes = 0;
    }
    bytes += more;
    parts.back().end = i + 1;
  }
  return parts;
}

void EmbeddingFlows::Send(RequestId id, Flow& flow, size_t part_index) {
  Part& part = flow.parts[part_index];
  const absl::StatusOr<ReplicaDirectory::View> view = directory_.FindForEmbedding(flow.service);
  std::vector<ReplicaKey> candidates;
  if (view.ok()) {
    for (const ReplicaSnapshot& replica : view->replicas) {
      if (IsCandidate(replica, part.excluded)) candidates.push_back(replica.key);
    }
  }
  if (candidates.empty()) {
    PostFailure(id, NoCandidate(view.ok() ? *view : ReplicaDirectory::View()));
    return;
  }
  part.replica = candidates[turn_++ % candidates.size()];
  part.call_id = MakeSequenceId(shard_, next_call_++);
  flow.replica = directory_.ReplicaName(part.replica.id);
  EmbedCall call = {.id = part.call_id,
                    .inputs = {},
                    .truncate = flow.request.truncate,
                    .time_left = flow.deadline - clock_.Now()};
  for (size_t i = part.begin; i < part.end; ++i) call.inputs.push_back(flow.request.inputs[i]);
  EmbedDone done = [post = post_, id, part_index,
                    call_id = part.call_id](absl::StatusOr<EmbedPart> result) {
    // std::function wants to be copied, the vectors don't.
    auto shared = std::make_shared<absl::StatusOr<EmbedPart>>(std::move(result));
    post([id, part_index, call_id, shared](EmbeddingFlows& flows) {
      flows.OnPart(id, part_index, call_id, std::move(*shared));
    });
  };
  if (const std::shared_ptr<TextEmbedder> embedder = directory_.Embedder(part.replica.id)) {
    embedder->Embed(call, std::move(done));
  } else {
    done(absl::UnavailableError("the worker was removed"));
  }
}

void EmbeddingFlows::OnPart(RequestId id, size_t part_index, uint64_t call_id,
                            absl::StatusOr<EmbedPart> result) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;  // It ended meanwhile.
  Flow& flow = found->second;
  Part& part = flow.parts[part_index];
  if (part.done || part.call_id != call_id) return;
  if (!result.ok()) {
    const std::string_view reason = KnownReason(result.status().code(), "");
    const bool elsewhere = FindErrorRow(result.status().code(), reason).another_replica;
    part.excluded.push_back(part.replica);
    if (elsewhere &&
        static_cast<int32_t>(part.excluded.size()) <= router_limits_.resubmissions_max) {
      const absl::StatusOr<ReplicaDirectory::View> view = directory_.FindForEmbedding(flow.service);
      const bool another = view.ok() && std::any_of(view->replicas.begin(), view->replicas.end(),
                                                    [&](const ReplicaSnapshot& replica) {
                                                      return IsCandidate(replica, part.excluded);
                                                    });
      if (another) {
        Send(id, flow, part_index);
        return;
      }
    }
    Fail(id, {.status = CountFrom(result.status(), part.begin), .reason = std::string(reason)});
    return;
  }
  part.done = true;
  flow.answer.prompt_tokens += result->prompt_tokens;
  for (size_t i = 0; i < result->vectors.size(); ++i) {
    flow.answer.vectors[part.begin + i] = std::move(result->vectors[i]);
  }
  if (--flow.unfinished > 0) return;
  const EmbeddingAnswer answer = std::move(flow.answer);
  flow.answer.prompt_tokens = answer.prompt_tokens;
  EmbeddingSink& sink = *flow.sink;
  End(id, "finished", 200);
  sink.OnEmbedded(answer);
}

void EmbeddingFlows::PostFailure(RequestId id, GenerateError error) {
  post_([id, error = std::move(error)](EmbeddingFlows& flows) { flows.Fail(id, error); });
}

void EmbeddingFlows::Fail(RequestId id, const GenerateError& error) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  CancelCalls(found->second);
  EmbeddingSink& sink = *found->second.sink;
  const std::string_view outcome = KnownReason(error.status.code(), error.reason);
  End(id, outcome, FindErrorRow(error.status.code(), outcome).http_status);
  sink.OnEmbeddingFailed(error);
}

bool EmbeddingFlows::Cancel(RequestId id) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return false;
  CancelCalls(found->second);
  End(id, "cancelled", FindErrorRow(absl::StatusCode::kCancelled, "").http_status);
  return true;
}

void EmbeddingFlows::FailAll(const GenerateError& error) {
  std::vector<RequestId> ids;
  for (const auto& [id, flow] : flows_) ids.push_back(id);
  for (const RequestId id : ids) Fail(id, error);
}

void EmbeddingFlows::CancelCalls(const Flow& flow) {
  for (const Part& part : flow.parts) {
    if (part.done || part.call_id == 0) continue;
    if (const auto embedder = directory_.Embedder(part.replica.id)) {
      embedder->CancelEmbed(part.call_id);
    }
  }
}

void EmbeddingFlows::End(RequestId id, std::string_view outcome, int http_status) {
  const auto found = flows_.find(id);
  Flow flow = std::move(found->second);
  flows_.erase(found);
  const bool finished = outcome == "finished";
  if (finished) flow.quota.Settle(flow.answer.prompt_tokens);
  RequestRecord record;
  record.asked = flow.asked;
  record.ended = clock_.Now();
  record.prompt_tokens =
      static_cast<int32_t>(std::min<int64_t>(flow.answer.prompt_tokens, 1 << 30));
  record.outcome = outcome;
  metrics_.Observe(flow.service, record);
  if (observer_ == nullptr) return;
  observer_->OnRequestEnd({.request_id = flow.request.request_id,
                           .token_id = TokenIdOf(flow.request.account),
                           .token = flow.request.token_name,
                           .service = flow.service,
                           .replica = flow.replica,
                           .outcome = outcome,
                           .http_status = http_status,
                           .prompt_tokens = record.prompt_tokens,
                           .took = record.ended - record.asked,
                           .traceparent = flow.request.traceparent,
                           .billed = {.prompt_tokens = finished ? record.prompt_tokens : 0}});
}

}  // namespace spillway
