#include "server/grpc/inference_wire.h"

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/inference.pb.h"
#include "server/dialects/json_escape.h"

namespace spillway {
namespace {

absl::Status CheckCount(std::string_view field, size_t count, size_t limit) {
  if (count <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(std::string(field), " has ", count,
                                                 " entries; this server takes up to ", limit));
}

absl::StatusOr<ChatPrompt> ChatFromWire(const v1::Chat& wire, const DialectLimits& limits) {
  if (wire.messages().empty()) {
    return absl::InvalidArgumentError("chat.messages is empty; a message is needed");
  }
  if (absl::Status status = CheckCount("chat.messages", static_cast<size_t>(wire.messages_size()),
                                       limits.messages_max);
      !status.ok()) {
    return status;
  }
  ChatPrompt prompt;
  prompt.messages_json = "[";
  for (const v1::Message& message : wire.messages()) {
    prompt.messages_json += prompt.messages_json.size() == 1 ? "{\"role\":" : ",{\"role\":";
    AppendJsonString(prompt.messages_json, message.role());
    prompt.messages_json += ",\"content\":";
    AppendJsonString(prompt.messages_json, message.content());
    prompt.messages_json += '}';
  }
  prompt.messages_json += ']';
  if (!wire.template_kwargs_json().empty()) {
    const auto kwargs = nlohmann::json::parse(wire.template_kwargs_json(), nullptr,
                                              /*allow_exceptions=*/false);
    if (!kwargs.is_object()) {
      return absl::InvalidArgumentError("chat.template_kwargs_json is no JSON object");
    }
    prompt.template_kwargs_json = wire.template_kwargs_json();
  }
  return prompt;
}

absl::StatusOr<PromptSource> PromptFromWire(const v1::GenerateRequest& wire,
                                            const DialectLimits& limits) {
  switch (wire.prompt_case()) {
    case v1::GenerateRequest::kChat: {
      absl::StatusOr<ChatPrompt> chat = ChatFromWire(wire.chat(), limits);
      if (!chat.ok()) return chat.status();
      return PromptSource(*std::move(chat));
    }
    case v1::GenerateRequest::kText:
      return PromptSource(wire.text());
    case v1::GenerateRequest::kTokenIds: {
      const auto& ids = wire.token_ids().ids();
      if (absl::Status status =
              CheckCount("token_ids", static_cast<size_t>(ids.size()), limits.prompt_token_ids_max);
          !status.ok()) {
        return status;
      }
      return PromptSource(std::vector<int32_t>(ids.begin(), ids.end()));
    }
    case v1::GenerateRequest::PROMPT_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("there is no prompt; give chat, text or token_ids");
}

absl::Status CheckStops(const v1::GenerateRequest& wire, const DialectLimits& limits) {
  for (const auto& [field, count, limit] :
       {std::tuple{"stop", wire.stop_size(), limits.stop_strings_max},
        std::tuple{"stop_token_ids", wire.stop_token_ids_size(), limits.stop_token_ids_max},
        std::tuple{"logit_bias", static_cast<int>(wire.logit_bias_size()),
                   limits.logit_bias_max}}) {
    if (absl::Status status = CheckCount(field, static_cast<size_t>(count), limit); !status.ok()) {
      return status;
    }
  }
  for (const std::string& stop : wire.stop()) {
    if (stop.empty() || stop.size() > limits.stop_string_bytes_max) {
      return absl::InvalidArgumentError(absl::StrCat("stop has a string of ", stop.size(),
                                                     " bytes; 1 to ", limits.stop_string_bytes_max,
                                                     " are taken"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNumber(std::string_view field, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), " is ", value, "; this server takes ", least, " to ", most));
}

}  // namespace

absl::StatusOr<GenerateRequest> GenerateRequestFromWire(const v1::GenerateRequest& wire,
                                                        const DialectLimits& limits) {
  GenerateRequest request;
  absl::StatusOr<PromptSource> prompt = PromptFromWire(wire, limits);
  if (!prompt.ok()) return prompt.status();
  request.prompt = *std::move(prompt);
  request.choices = wire.choices() == 0 ? 1 : wire.choices();
  for (const absl::Status& status :
       {CheckStops(wire, limits), CheckNumber("choices", request.choices, 1, limits.choices_max),
        CheckNumber("max_tokens", wire.max_tokens(), 0, limits.new_tokens_max),
        CheckNumber("min_tokens", wire.min_tokens(), 0, limits.new_tokens_max)}) {
    if (!status.ok()) return status;
  }
  request.model = wire.model();
  SamplingOptions& sampling = request.sampling;
  if (wire.has_temperature()) sampling.temperature = wire.temperature();
  if (wire.has_top_p()) sampling.top_p = wire.top_p();
  if (wire.has_top_k()) sampling.top_k = wire.top_k();
  if (wire.has_min_p()) sampling.min_p = wire.min_p();
  if (wire.has_repetition_penalty()) sampling.repetition_penalty = wire.repetition_penalty();
  if (wire.has_seed()) sampling.seed = wire.seed();
  sampling.presence_penalty = wire.presence_penalty();
  sampling.frequency_penalty = wire.frequency_penalty();
  sampling.logit_bias.insert(wire.logit_bias().begin(), wire.logit_bias().end());
  request.stop_strings.assign(wire.stop().begin(), wire.stop().end());
  request.stop_token_ids.assign(wire.stop_token_ids().begin(), wire.stop_token_ids().end());
  request.new_tokens_max = wire.max_tokens();
  request.new_tokens_min = wire.min_tokens();
  request.ignore_end_of_text = wire.ignore_end_of_text();
  request.timeout = limits.request_time;
  return request;
}

void DeltaToWire(int32_t choice, const OutputDelta& delta, v1::GenerateEvent& event) {
  v1::Delta& wire = *event.mutable_delta();
  wire.set_choice(choice);
  wire.set_content(delta.content);
  wire.set_reasoning(delta.reasoning);
}

void FinishedToWire(int32_t choice, FinishReason reason, const Usage& usage,
                    v1::GenerateEvent& event) {
  v1::Finished& wire = *event.mutable_finished();
  wire.set_choice(choice);
  wire.set_reason(reason == FinishReason::kStop ? v1::FINISH_REASON_STOP
                                                : v1::FINISH_REASON_LENGTH);
  wire.set_prompt_tokens(usage.prompt_tokens);
  wire.set_cached_tokens(usage.cached_tokens);
  wire.set_completion_tokens(usage.completion_tokens);
  wire.set_reasoning_tokens(usage.reasoning_tokens);
  wire.set_stop_string(usage.stop_string);
}

void ModelsToWire(const std::vector<ModelInfo>& models, v1::ListModelsReply& reply) {
  for (const ModelInfo& model : models) {
    v1::Model& wire = *reply.add_models();
    wire.set_name(model.name);
    wire.set_context_tokens_max(model.context_tokens_max);
    wire.set_embedding_size(model.embedding_size);
  }
}

}  // namespace spillway
