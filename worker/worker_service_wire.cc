#include "worker/worker_service_wire.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "worker/grammar/tool_grammar.h"
#include "worker/text/tool_names.h"

namespace spillway {
namespace {

constexpr int kStopStringsMax = 64;
constexpr size_t kStopStringBytesMax = 4096;

double Milliseconds(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

SamplingParams SamplingFromWire(const wire::SamplingParams& from, const SamplingParams& defaults) {
  SamplingParams params = defaults;
  if (from.has_temperature()) params.temperature = from.temperature();
  if (from.has_top_p()) params.top_p = from.top_p();
  if (from.has_top_k()) params.top_k = from.top_k();
  if (from.has_min_p()) params.min_p = from.min_p();
  if (from.has_repetition_penalty()) params.repetition_penalty = from.repetition_penalty();
  params.seed = from.seed();
  params.presence_penalty = from.presence_penalty();
  params.frequency_penalty = from.frequency_penalty();
  params.logit_bias.assign(from.logit_bias().begin(), from.logit_bias().end());
  // A protobuf map has no order of its own.
  std::sort(params.logit_bias.begin(), params.logit_bias.end());
  params.top_logprobs = from.has_top_logprobs() ? from.top_logprobs() : -1;
  return params;
}

void LogprobToWire(TokenId token, std::optional<float> logprob, const Tokenizer& tokenizer,
                   wire::TokenLogprob& to) {
  to.set_token_id(token);
  if (logprob.has_value()) to.set_logprob(*logprob);
  to.set_text(std::string(tokenizer.TokenBytes(token)));
}

void LogprobsToWire(const TokenLogprobs& from, const Tokenizer& tokenizer,
                    wire::TokenLogprobs& to) {
  LogprobToWire(from.token, from.logprob, tokenizer, *to.mutable_token());
  to.set_rank(from.rank);
  for (const TokenLogprob& top : from.top) {
    LogprobToWire(top.token, top.logprob, tokenizer, *to.add_top());
  }
  to.set_content_begin(from.content_begin);
  to.set_of_prompt(from.of_prompt);
  to.set_silent(from.silent);
}

SpecRefusal Invalid(const std::string& message) {
  return {.status = absl::InvalidArgumentError(message), .reason = "invalid_request"};
}

SpecRefusal InvalidField(std::string field, const std::string& message) {
  SpecRefusal refusal = Invalid(absl::StrCat(field, message));
  refusal.field = std::move(field);
  return refusal;
}

SpecRefusal ReadSampling(const wire::SamplingParams& from, const SpecContext& context,
                         EngineRequest& request) {
  request.sampling = SamplingFromWire(from, context.sampling_defaults);
  if (const absl::Status valid = request.sampling.Validate(context.vocabulary_size); !valid.ok()) {
    const std::string message(valid.message());
    const size_t field_size = message.find(' ');  // SamplingParams::Validate() promises it
    return InvalidField(message.substr(0, field_size), message.substr(field_size));
  }
  if (!from.has_prompt_logprobs()) return {};
  request.prompt_top_logprobs = from.prompt_logprobs();
  if (from.prompt_logprobs() >= 0 && from.prompt_logprobs() <= SamplingParams::kTopLogprobsMax) {
    return {};
  }
  return InvalidField("prompt_logprobs",
                      absl::StrCat(" is ", from.prompt_logprobs(), ", not in [0, ",
                                   SamplingParams::kTopLogprobsMax, "]"));
}

SpecRefusal ReadStops(const wire::GenerateSpec& spec, int32_t vocabulary_size,
                      EngineRequest& request) {
  if (spec.stop_strings_size() > kStopStringsMax) {
    return InvalidField("stop", absl::StrCat(" has ", spec.stop_strings_size(),
                                             " strings, at most ", kStopStringsMax));
  }
  for (const std::string& stop : spec.stop_strings()) {
    if (stop.empty() || stop.size() > kStopStringBytesMax) {
      return InvalidField("stop", absl::StrCat(" has a string of ", stop.size(),
                                               " bytes, must be 1 to ", kStopStringBytesMax));
    }
  }
  for (const TokenId token : spec.stop_token_ids()) {
    if (token < 0 || token >= vocabulary_size) {
      return InvalidField("stop_token_ids", absl::StrCat(" has token ", token, ", beyond 0 to ",
                                                         vocabulary_size - 1));
    }
  }
  request.stop_strings.assign(spec.stop_strings().begin(), spec.stop_strings().end());
  request.stop_tokens.assign(spec.stop_token_ids().begin(), spec.stop_token_ids().end());
  return {};
}

GrammarSource SourceFromWire(const wire::Constraint& from) {
  using Kind = GrammarSource::Kind;
  switch (from.kind_case()) {
    case wire::Constraint::kJsonSchema:
      return {.kind = Kind::kJsonSchema, .text = from.json_schema()};
    case wire::Constraint::kRegex:
      return {.kind = Kind::kRegex, .text = from.regex()};
    case wire::Constraint::kChoice:
      return {.kind = Kind::kChoice,
              .choices = {from.choice().texts().begin(), from.choice().texts().end()}};
    case wire::Constraint::kGrammar:
      return {.kind = Kind::kGrammar, .text = from.grammar()};
    case wire::Constraint::kStructuralTag:
      return {.kind = Kind::kStructuralTag, .text = from.structural_tag()};
    case wire::Constraint::kJsonObject:
    case wire::Constraint::KIND_NOT_SET:
      return {.kind = Kind::kJsonObject};
  }
  return {};
}

// A call that must be made comes before what the content must be: there is none then.
SpecRefusal ReadGrammar(const wire::GenerateSpec& spec, const SpecContext& context,
                        EngineRequest& request) {
  const wire::ToolUse& use = spec.tool_use();
  const bool must_call = spec.has_tool_use() && use.choice() != wire::ToolUse::CHOICE_AUTO;
  if (!must_call && !spec.has_constraint()) return {};
  request.grammar_field = must_call ? "tool_choice" : spec.constraint().field();
  if (!context.takes_grammars) {
    return InvalidField(request.grammar_field, " can't be kept to on this worker's device yet");
  }
  if (!must_call) {
    request.grammar_source = SourceFromWire(spec.constraint());
    return {};
  }
  if (request.tools.format == nullptr) {
    return InvalidField("tool_choice", " needs a chat with tools");
  }
  request.tools.one_call |= use.choice() == wire::ToolUse::CHOICE_NAMED;
  const bool named = use.choice() == wire::ToolUse::CHOICE_NAMED;
  auto grammar = MakeToolGrammar(spec.prompt().chat().tools_json(), *request.tools.format,
                                 named ? use.name() : std::string(), request.tools.one_call);
  if (!grammar.ok()) {
    return InvalidField("tools", absl::StrCat(": ", std::string(grammar.status().message())));
  }
  request.tools.format = grammar->format;
  request.grammar_source = std::move(grammar->source);
  return {};
}

}  // namespace

PromptSource PromptFromWire(const wire::Prompt& prompt) {
  switch (prompt.kind_case()) {
    case wire::Prompt::kChat: {
      const wire::ChatPrompt& chat = prompt.chat();
      return ChatInput{.messages_json = chat.messages_json(),
                       .tools_json = chat.tools_json(),
                       .template_kwargs_json = chat.template_kwargs_json(),
                       .add_generation_prompt = chat.add_generation_prompt(),
                       .template_time = absl::FromUnixSeconds(chat.template_time_unix_s())};
    }
    case wire::Prompt::kTokenIds:
      return std::vector<TokenId>(prompt.token_ids().ids().begin(), prompt.token_ids().ids().end());
    case wire::Prompt::kText:
    case wire::Prompt::KIND_NOT_SET:
      return prompt.text();
  }
  return prompt.text();
}

SpecRefusal RequestFromWire(const wire::GenerateSpec& spec, const SpecContext& context,
                            SequenceId id, absl::Time arrival, EngineRequest& request) {
  request.id = id;
  request.arrival = arrival;
  SpecRefusal refusal = ReadSampling(spec.sampling(), context, request);
  if (refusal.status.ok()) refusal = ReadStops(spec, context.vocabulary_size, request);
  if (!refusal.status.ok()) return refusal;
  absl::StatusOr<BuiltPrompt> prompt = context.prompts.Build(PromptFromWire(spec.prompt()));
  if (!prompt.ok()) {
    return {.status = prompt.status(), .reason = "invalid_request", .field = "prompt"};
  }

  const auto prompt_tokens = static_cast<int32_t>(prompt->tokens.size());
  const int32_t room = context.sequence_tokens_max - prompt_tokens;
  if (room <= 0) {
    return {
        .status = absl::InvalidArgumentError(absl::StrCat(
            "the prompt has ", prompt_tokens, " tokens; this model's maximum context length is ",
            context.sequence_tokens_max, ", prompt and answer together")),
        .reason = "context_length_exceeded",
        .prompt_tokens = prompt_tokens,
        .field = "prompt"};
  }
  request.echo = spec.echo();
  if (spec.prompt().has_text()) request.prompt_text = std::move(prompt->text);
  request.prompt_only = spec.prompt_only();
  request.resumed_logprobs = std::max(spec.resumed_logprobs(), 0);
  const int32_t wanted = spec.prompt_only() ? 1 : spec.new_tokens_max();
  request.new_tokens_max = wanted <= 0 ? room : std::min(wanted, room);
  request.new_tokens_min = std::min(spec.new_tokens_min(), request.new_tokens_max);
  request.prompt = std::move(prompt->tokens);
  request.resumed.assign(spec.resumed_token_ids().begin(), spec.resumed_token_ids().end());
  request.resumed_reasoning_bytes = std::max<int64_t>(spec.resumed_reasoning_bytes(), 0);
  request.resumed_content_bytes = std::max<int64_t>(spec.resumed_content_bytes(), 0);
  if (!spec.inline_reasoning()) request.reasoning = prompt->reasoning;
  request.resumed_tool_calls = std::max(spec.resumed_tool_calls(), 0);
  request.resumed_tool_argument_bytes = std::max<int64_t>(spec.resumed_tool_argument_bytes(), 0);
  if (spec.has_tool_use() && prompt->tool_format != nullptr) {
    request.tools = {.format = prompt->tool_format,
                     .tools = ToolNames(spec.prompt().chat().tools_json()),
                     .one_call = spec.tool_use().one_call()};
  }
  if (refusal = ReadGrammar(spec, context, request); !refusal.status.ok()) return refusal;
  for (TokenId token : request.resumed) {
    if (token < 0 || token >= context.vocabulary_size) {
      return Invalid(absl::StrCat("resumed token ", token, " is not in the vocabulary"));
    }
  }
  request.ignore_end_of_text = spec.ignore_end_of_text();
  request.priority = spec.priority();
  if (spec.isolate_prefix_cache()) request.cache_salt = absl::Hash<std::string>()(spec.tenant());
  if (spec.deadline_ms() > 0) request.deadline = arrival + absl::Milliseconds(spec.deadline_ms());
  return {};
}

void EventToWire(EngineEvent& event, const Tokenizer& tokenizer, wire::SequenceEvent& to) {
  if (const auto* accepted = std::get_if<AcceptedEvent>(&event.what)) {
    to.mutable_accepted()->set_prompt_tokens(accepted->prompt_tokens);
  } else if (const auto* started = std::get_if<StartedEvent>(&event.what)) {
    to.mutable_started()->set_cached_tokens(started->cached_tokens);
  } else if (auto* delta = std::get_if<DeltaEvent>(&event.what)) {
    to.mutable_delta()->set_content(std::move(delta->text.content));
    to.mutable_delta()->set_reasoning(std::move(delta->text.reasoning));
    to.mutable_delta()->set_reasoning_tokens(delta->reasoning_tokens);
    to.mutable_delta()->mutable_token_ids()->Add(delta->tokens.begin(), delta->tokens.end());
    for (ToolCallDelta& call : delta->text.tool_calls) {
      wire::ToolCallDelta& added = *to.mutable_delta()->add_tool_calls();
      added.set_index(call.index);
      added.set_name(std::move(call.name));
      added.set_arguments(std::move(call.arguments));
    }
    for (const TokenLogprobs& logprobs : delta->logprobs) {
      LogprobsToWire(logprobs, tokenizer, *to.mutable_delta()->add_logprobs());
    }
  } else if (const auto* ended = std::get_if<EndedEvent>(&event.what)) {
    wire::Finished& finished = *to.mutable_finished();
    finished.set_reason(ended->reason == EndReason::kStop ? wire::FINISH_REASON_STOP
                                                          : wire::FINISH_REASON_LENGTH);
    finished.set_stop_string(ended->stop_string);
    finished.mutable_usage()->set_prompt_tokens(ended->usage.prompt_tokens);
    finished.mutable_usage()->set_cached_tokens(ended->usage.cached_tokens);
    finished.mutable_usage()->set_completion_tokens(ended->usage.completion_tokens);
    finished.mutable_usage()->set_reasoning_tokens(ended->usage.reasoning_tokens);
    finished.mutable_timings()->set_queue_ms(Milliseconds(ended->timings.queue));
    finished.mutable_timings()->set_prefill_ms(Milliseconds(ended->timings.prefill));
    finished.mutable_timings()->set_decode_ms(Milliseconds(ended->timings.decode));
  } else if (const auto* failed = std::get_if<FailedEvent>(&event.what)) {
    RefusalToWire({.status = failed->status, .reason = failed->reason}, to);
  }
}

void IdentityToWire(const WorkerIdentity& identity, wire::WorkerDescription& to) {
  to.set_model_name(identity.model_name);
  to.set_model_hash(identity.model_hash);
  to.set_numerics_id(identity.numerics_id);
  to.set_architecture(identity.architecture);
  to.set_device(identity.device);
  to.set_build(identity.build);
  to.set_instance_id(identity.instance_id);
}

void DefaultsToWire(const SamplingParams& defaults, wire::SamplingParams& to) {
  to.set_temperature(defaults.temperature);
  to.set_top_p(defaults.top_p);
  to.set_top_k(defaults.top_k);
  to.set_min_p(defaults.min_p);
  to.set_repetition_penalty(defaults.repetition_penalty);
}

void LoadToWire(const EngineLoad& load, bool draining, wire::WorkerLoad& to) {
  to.set_running(load.running);
  to.set_waiting(load.waiting);
  to.set_waiting_prompt_tokens(load.waiting_prompt_tokens);
  to.set_kv_blocks_free(load.kv_blocks_free);
  to.set_kv_blocks_total(load.kv_blocks_total);
  to.set_step_ms(load.step_ms);
  to.set_prefill_tokens_per_s(load.prefill_tokens_per_s);
  to.set_decode_tokens_per_s(load.decode_tokens_per_s);
  to.set_draining(draining);
  to.set_steps(load.steps);
  to.set_prefix_cache_query_tokens(load.prefix_query_tokens);
  to.set_prefix_cache_hit_tokens(load.prefix_hit_tokens);
  to.set_preemptions(load.preemptions);
  to.set_newcomer_wait_ms(absl::ToDoubleMilliseconds(load.newcomer.wait));
  to.set_wait_ms_per_prompt_token(absl::ToDoubleMilliseconds(load.newcomer.per_prompt_token));
  to.set_wait_ms_per_sequence(absl::ToDoubleMilliseconds(load.newcomer.per_sequence));
}

void RefusalToWire(const SpecRefusal& refusal, wire::SequenceEvent& to) {
  wire::Failed& failed = *to.mutable_failed();
  failed.set_code(static_cast<int32_t>(refusal.status.code()));
  failed.set_reason(refusal.reason);
  failed.set_message(std::string(refusal.status.message()));
  failed.set_prompt_tokens(refusal.prompt_tokens);
  failed.set_field(refusal.field);
}

}  // namespace spillway
