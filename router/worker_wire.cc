#include "router/worker_wire.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/worker.pb.h"
#include "router/error_table.h"

namespace spillway {
namespace {

namespace wire = worker::v1;

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

void SetPrompt(const SequenceSubmission& submission, wire::Prompt& prompt) {
  std::visit(Overloaded{[&](const ChatPrompt& chat) {
                          wire::ChatPrompt& out = *prompt.mutable_chat();
                          out.set_messages_json(chat.messages_json);
                          out.set_tools_json(chat.tools_json);
                          out.set_template_kwargs_json(chat.template_kwargs_json);
                          out.set_add_generation_prompt(chat.add_generation_prompt);
                          out.set_template_time_unix_s(submission.template_time_unix_s);
                        },
                        [&](const std::string& text) { prompt.set_text(text); },
                        [&](const std::vector<int32_t>& ids) {
                          prompt.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
                        }},
             submission.request.prompt);
}

void SetSampling(const SamplingOptions& options, uint64_t seed, wire::SamplingParams& out) {
  if (options.temperature.has_value()) out.set_temperature(*options.temperature);
  if (options.top_p.has_value()) out.set_top_p(*options.top_p);
  if (options.top_k.has_value()) out.set_top_k(*options.top_k);
  if (options.min_p.has_value()) out.set_min_p(*options.min_p);
  if (options.repetition_penalty.has_value()) {
    out.set_repetition_penalty(*options.repetition_penalty);
  }
  out.set_seed(seed);
  out.set_presence_penalty(options.presence_penalty);
  out.set_frequency_penalty(options.frequency_penalty);
  for (const auto& [token, bias] : options.logit_bias) (*out.mutable_logit_bias())[token] = bias;
  if (options.top_logprobs >= 0) out.set_top_logprobs(options.top_logprobs);
}

void SetConstraint(const OutputConstraint& constraint, wire::Constraint& out) {
  out.set_field(constraint.field);
  switch (constraint.kind) {
    case OutputConstraint::Kind::kJsonSchema:
      return out.set_json_schema(constraint.text);
    case OutputConstraint::Kind::kJsonObject:
      return out.set_json_object(true);
    case OutputConstraint::Kind::kRegex:
      return out.set_regex(constraint.text);
    case OutputConstraint::Kind::kChoice:
      out.mutable_choice()->mutable_texts()->Add(constraint.choices.begin(),
                                                 constraint.choices.end());
      return;
    case OutputConstraint::Kind::kGrammar:
      return out.set_grammar(constraint.text);
    case OutputConstraint::Kind::kStructuralTag:
      return out.set_structural_tag(constraint.text);
  }
}

wire::ToolUse::Choice ToWire(ToolUse::Choice choice) {
  switch (choice) {
    case ToolUse::Choice::kAuto:
      return wire::ToolUse::CHOICE_AUTO;
    case ToolUse::Choice::kRequired:
      return wire::ToolUse::CHOICE_REQUIRED;
    case ToolUse::Choice::kNamed:
      return wire::ToolUse::CHOICE_NAMED;
  }
  return wire::ToolUse::CHOICE_AUTO;
}

GenerateError MakeError(absl::StatusCode code, std::string_view reason,
                        const std::string& message) {
  return {.status = absl::Status(code, message), .reason = std::string(KnownReason(code, reason))};
}

GenerateError FromFailed(const wire::Failed& failed) {
  const bool known = failed.code() > 0 && failed.code() <= 16;
  GenerateError error =
      MakeError(known ? static_cast<absl::StatusCode>(failed.code()) : absl::StatusCode::kInternal,
                failed.reason(), failed.message());
  error.field = failed.field();
  return error;
}

TokenLogprob FromTokenLogprob(wire::TokenLogprob& from) {
  return {.token_id = from.token_id(),
          .logprob = from.logprob(),
          .text = std::move(*from.mutable_text())};
}

TokenLogprobs FromTokenLogprobs(wire::TokenLogprobs& from) {
  TokenLogprobs out = {.token = FromTokenLogprob(*from.mutable_token()),
                       .known = from.token().has_logprob(),
                       .of_prompt = from.of_prompt(),
                       .silent = from.silent(),
                       .rank = from.rank(),
                       .top = {},
                       .content_begin = static_cast<uint64_t>(from.content_begin())};
  out.top.reserve(static_cast<size_t>(from.top_size()));
  for (wire::TokenLogprob& top : *from.mutable_top()) out.top.push_back(FromTokenLogprob(top));
  return out;
}

Usage FromUsage(const wire::Usage& usage) {
  return {.prompt_tokens = usage.prompt_tokens(),
          .cached_tokens = usage.cached_tokens(),
          .completion_tokens = usage.completion_tokens(),
          .reasoning_tokens = usage.reasoning_tokens()};
}

}  // namespace

wire::GenerateSpec ToGenerateSpec(const SequenceSubmission& submission) {
  const GenerateRequest& request = submission.request;
  wire::GenerateSpec spec;
  SetPrompt(submission, *spec.mutable_prompt());
  SetSampling(request.sampling, submission.seed, *spec.mutable_sampling());
  spec.mutable_stop_strings()->Add(request.stop_strings.begin(), request.stop_strings.end());
  spec.mutable_stop_token_ids()->Add(request.stop_token_ids.begin(), request.stop_token_ids.end());
  spec.set_new_tokens_max(request.new_tokens_max);
  spec.set_new_tokens_min(request.new_tokens_min);
  spec.set_ignore_end_of_text(request.ignore_end_of_text);
  spec.set_priority(request.priority);
  spec.set_tenant(request.tenant);
  spec.set_traceparent(request.traceparent);
  if (submission.time_left != absl::InfiniteDuration()) {
    // 0 would mean none.
    spec.set_deadline_ms(std::max<int64_t>(1, absl::ToInt64Milliseconds(submission.time_left)));
  }
  spec.mutable_resumed_token_ids()->Add(submission.resumed_token_ids.begin(),
                                        submission.resumed_token_ids.end());
  spec.set_resumed_content_bytes(static_cast<int64_t>(submission.resumed_content_bytes));
  spec.set_resumed_reasoning_bytes(static_cast<int64_t>(submission.resumed_reasoning_bytes));
  spec.set_inline_reasoning(request.inline_reasoning);
  spec.set_echo(request.echo);
  spec.set_prompt_only(request.prompt_only);
  if (request.prompt_logprobs >= 0) {
    spec.mutable_sampling()->set_prompt_logprobs(request.prompt_logprobs);
  }
  spec.set_resumed_logprobs(submission.resumed_logprobs);
  if (request.tool_use.has_value()) {
    wire::ToolUse& use = *spec.mutable_tool_use();
    use.set_choice(ToWire(request.tool_use->choice));
    use.set_name(request.tool_use->name);
    use.set_one_call(request.tool_use->one_call);
  }
  if (request.constraint.has_value())
    SetConstraint(*request.constraint, *spec.mutable_constraint());
  spec.set_resumed_tool_calls(submission.resumed_tool_calls);
  spec.set_resumed_tool_argument_bytes(
      static_cast<int64_t>(submission.resumed_tool_argument_bytes));
  return spec;
}

std::vector<wire::RouterFrame> ToSubmitFrames(uint64_t sequence_id, const wire::GenerateSpec& spec,
                                              size_t part_bytes) {
  std::vector<wire::RouterFrame> frames;
  if (spec.ByteSizeLong() <= part_bytes) {
    wire::Submit& submit = *frames.emplace_back().mutable_submit();
    submit.set_sequence_id(sequence_id);
    *submit.mutable_spec() = spec;
    return frames;
  }
  const std::string bytes = spec.SerializeAsString();
  for (size_t begin = 0; begin < bytes.size(); begin += part_bytes) {
    wire::SubmitPart& part = *frames.emplace_back().mutable_submit_part();
    part.set_sequence_id(sequence_id);
    part.set_spec_bytes(bytes.substr(begin, part_bytes));
    part.set_last(begin + part_bytes >= bytes.size());
  }
  return frames;
}

std::optional<UpstreamEvent> FromSequenceEvent(wire::SequenceEvent& event) {
  UpstreamEvent out = {.sequence_id = event.sequence_id(), .what = {}};
  switch (event.event_case()) {
    case wire::SequenceEvent::kAccepted:
      out.what = AcceptedEvent{event.accepted().prompt_tokens()};
      return out;
    case wire::SequenceEvent::kStarted:
      out.what = StartedEvent{event.started().cached_tokens()};
      return out;
    case wire::SequenceEvent::kDelta: {
      wire::Delta& delta = *event.mutable_delta();
      DeltaEvent what = {.output = {.content = std::move(*delta.mutable_content()),
                                    .reasoning = std::move(*delta.mutable_reasoning()),
                                    .reasoning_tokens = delta.reasoning_tokens()},
                         .token_ids = {delta.token_ids().begin(), delta.token_ids().end()}};
      for (wire::TokenLogprobs& logprobs : *delta.mutable_logprobs()) {
        what.output.logprobs.push_back(FromTokenLogprobs(logprobs));
      }
      for (wire::ToolCallDelta& call : *delta.mutable_tool_calls()) {
        what.output.tool_calls.push_back({.index = call.index(),
                                          .name = std::move(*call.mutable_name()),
                                          .arguments = std::move(*call.mutable_arguments())});
      }
      out.what = std::move(what);
      return out;
    }
    case wire::SequenceEvent::kFinished:
      switch (event.finished().reason()) {
        case wire::FINISH_REASON_STOP: {
          Usage usage = FromUsage(event.finished().usage());
          usage.stop_string = std::move(*event.mutable_finished()->mutable_stop_string());
          out.what = FinishedEvent{FinishReason::kStop, std::move(usage)};
          return out;
        }
        case wire::FINISH_REASON_LENGTH:
          out.what = FinishedEvent{FinishReason::kLength, FromUsage(event.finished().usage())};
          return out;
        default:
          out.what = FailedEvent{MakeError(absl::StatusCode::kInternal, "internal",
                                           "the worker finished without a known reason")};
          return out;
      }
    case wire::SequenceEvent::kFailed:
      out.what = FailedEvent{FromFailed(event.failed())};
      return out;
    case wire::SequenceEvent::EVENT_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

wire::EmbedRequest ToEmbedRequest(const EmbedCall& call) {
  wire::EmbedRequest request;
  request.set_truncate(call.truncate);
  for (const EmbeddingInput& input : call.inputs) {
    wire::EmbedInput& out = *request.add_inputs();
    if (const auto* text = std::get_if<std::string>(&input)) {
      out.set_text(*text);
    } else {
      const auto& ids = std::get<std::vector<int32_t>>(input);
      out.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
    }
  }
  return request;
}

absl::StatusOr<EmbedPart> FromEmbedReply(const wire::EmbedReply& reply, size_t inputs) {
  EmbedPart part;
  for (const wire::Embedding& embedding : reply.embeddings()) {
    if (embedding.values().empty()) return absl::InternalError("the worker gave an empty vector");
    part.vectors.emplace_back(embedding.values().begin(), embedding.values().end());
    part.prompt_tokens += std::max(0, embedding.prompt_tokens());
  }
  if (part.vectors.size() == inputs) return part;
  return absl::InternalError(
      absl::StrCat("the worker gave ", part.vectors.size(), " vectors for ", inputs, " texts"));
}

ReplicaLoad FromWorkerLoad(const wire::WorkerLoad& load) {
  return {.running = load.running(),
          .waiting = load.waiting(),
          .waiting_prompt_tokens = load.waiting_prompt_tokens(),
          .kv_blocks_free = load.kv_blocks_free(),
          .kv_blocks_total = load.kv_blocks_total(),
          .prefill_tokens_per_s = load.prefill_tokens_per_s(),
          .decode_tokens_per_s = load.decode_tokens_per_s(),
          .step_ms = load.step_ms(),
          .newcomer_wait_ms = load.newcomer_wait_ms(),
          .wait_ms_per_prompt_token = load.wait_ms_per_prompt_token(),
          .wait_ms_per_sequence = load.wait_ms_per_sequence(),
          .steps = load.steps(),
          .preemptions = load.preemptions(),
          .prefix_cache_query_tokens = load.prefix_cache_query_tokens(),
          .prefix_cache_hit_tokens = load.prefix_cache_hit_tokens()};
}

}  // namespace spillway
