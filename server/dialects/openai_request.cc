#include "server/dialects/openai_request.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/dialects/constraint_fields.h"
#include "server/dialects/json_fields.h"
#include "server/dialects/openai_chat_prompt.h"
#include "server/dialects/sampling_fields.h"
#include "server/dialects/stop_strings.h"
#include "server/dialects/text_inputs.h"
#include "server/dialects/tool_fields.h"

namespace spillway {
namespace {

using nlohmann::json;

constexpr int64_t kTokenIdMax = std::numeric_limits<int32_t>::max();
// OpenAI's own limits.
constexpr int64_t kChatLogprobsMax = 20;
constexpr int64_t kCompletionLogprobsMax = 5;

// How long an answer may be asked to be. Only a completion may have no length, which leaves the
// prompt to be echoed and scored.
struct LengthRule {
  int32_t unasked;  // 0: as long as the context has room for
  int32_t least;
};
constexpr LengthRule kChatLength = {.unasked = 0, .least = 1};
constexpr LengthRule kCompletionLength = {.unasked = 16, .least = 0};  // OpenAI's default

void RefuseUnsupported(FieldReader& reader, const char* name, const char* what) {
  reader.Fail(name, absl::StrCat(name, ": ", what));
}

void ReadSampling(FieldReader& reader, const DialectLimits& limits, GenerateRequest& request) {
  SamplingOptions& sampling = request.sampling;
  ReadSamplingFields(reader, sampling);
  if (const auto value = reader.Number("min_p", 0, 1)) {
    sampling.min_p = std::min(static_cast<float>(*value), 0.999999f);
  }
  if (const auto value = reader.Number("presence_penalty", -2, 2)) {
    sampling.presence_penalty = static_cast<float>(*value);
  }
  if (const auto value = reader.Number("frequency_penalty", -2, 2)) {
    sampling.frequency_penalty = static_cast<float>(*value);
  }
  if (const auto value = reader.Number("repetition_penalty", 0.01, 100)) {
    sampling.repetition_penalty = static_cast<float>(*value);
  }
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  if (const auto value = reader.Integer("seed", -kAny - 1, kAny)) {
    sampling.seed = static_cast<uint64_t>(*value);
  }
  if (const auto value = reader.Integer("n", 1, limits.choices_max)) {
    request.choices = static_cast<int32_t>(*value);
  }
}

void ReadLogitBias(FieldReader& reader, const DialectLimits& limits, GenerateRequest& request) {
  const json* bias = reader.Find("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object() || bias->size() > limits.logit_bias_max) {
    reader.Fail("logit_bias",
                absl::StrCat("logit_bias must be an object of at most ", limits.logit_bias_max,
                             " token ids, not ", ShowJson(*bias)));
    return;
  }
  for (const auto& [key, value] : bias->items()) {
    int32_t token = 0;
    if (!absl::SimpleAtoi(key, &token) || token < 0) {
      reader.Fail("logit_bias", absl::StrCat("logit_bias has the key ", ShowJson(json(key)),
                                             ", which is not a token id"));
      return;
    }
    if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100)) {
      reader.Fail("logit_bias",
                  absl::StrCat("logit_bias[\"", token,
                               "\"] must be a number from -100 to 100, not ", ShowJson(value)));
      return;
    }
    request.sampling.logit_bias[token] = value.get<float>();
  }
}

void ReadStop(FieldReader& reader, const DialectLimits& limits, GenerateRequest& request) {
  ReadStopStrings(reader, "stop", limits, request.stop_strings);
  const json* ids = reader.Find("stop_token_ids");
  if (ids == nullptr) return;
  if (!ids->is_array() || ids->size() > limits.stop_token_ids_max) {
    reader.Fail("stop_token_ids",
                absl::StrCat("stop_token_ids must be an array of at most ",
                             limits.stop_token_ids_max, " token ids, not ", ShowJson(*ids)));
    return;
  }
  for (const json& item : *ids) {
    const std::optional<int64_t> id = AsInteger(item);
    if (!id || *id < 0 || *id > kTokenIdMax) {
      reader.Fail("stop_token_ids",
                  absl::StrCat("stop_token_ids must hold token ids, not ", ShowJson(item)));
      return;
    }
    request.stop_token_ids.push_back(static_cast<int32_t>(*id));
  }
}

void ReadLength(FieldReader& reader, const DialectLimits& limits, const LengthRule& rule,
                GenerateRequest& request) {
  const auto old_name = reader.Integer("max_tokens", rule.least, limits.new_tokens_max);
  const auto new_name = reader.Integer("max_completion_tokens", rule.least, limits.new_tokens_max);
  const auto asked = new_name ? new_name : old_name;
  request.new_tokens_max = static_cast<int32_t>(asked.value_or(rule.unasked));
  request.prompt_only = asked == 0;
  if (const auto min = reader.Integer("min_tokens", 0, limits.new_tokens_max)) {
    request.new_tokens_min = static_cast<int32_t>(*min);
    if ((request.new_tokens_max > 0 || request.prompt_only) && *min > request.new_tokens_max) {
      reader.Fail("min_tokens", absl::StrCat("min_tokens ", *min, " is over max_tokens ",
                                             request.new_tokens_max));
    }
  }
  request.ignore_end_of_text = reader.Bool("ignore_eos").value_or(false);
}

void ReadStreaming(FieldReader& reader, OpenAiRequest& request) {
  request.stream = reader.Bool("stream").value_or(false);
  const json* options = reader.Find("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) {
    reader.Fail("stream_options",
                absl::StrCat("stream_options must be an object, not ", ShowJson(*options)));
    return;
  }
  FieldReader option_reader(*options);
  request.include_usage = option_reader.Bool("include_usage").value_or(false);
  if (option_reader.error()) {
    reader.Fail("stream_options.include_usage", option_reader.error()->message);
  }
}

// What both endpoints have.
void ReadCommon(std::string_view body, FieldReader& reader, const DialectLimits& limits,
                const LengthRule& length, OpenAiRequest& request) {
  request.generate.model = reader.String("model").value_or("");
  request.generate.timeout = limits.request_time;
  ReadStreaming(reader, request);
  ReadSampling(reader, limits, request.generate);
  ReadLogitBias(reader, limits, request.generate);
  ReadStop(reader, limits, request.generate);
  ReadLength(reader, limits, length, request.generate);
  request.generate.constraint = ReadConstraint(body, reader);
}

void ReadPrompts(FieldReader& reader, const DialectLimits& limits, OpenAiRequest& request) {
  std::vector<TextOrTokens> prompts = ReadTextInputs(reader, "prompt", limits.prompts_max, limits);
  for (size_t i = 0; i < prompts.size(); ++i) {
    PromptSource prompt = std::visit([](auto&& text) -> PromptSource { return std::move(text); },
                                     std::move(prompts[i]));
    if (i == 0) {
      request.generate.prompt = std::move(prompt);
    } else {
      request.further_prompts.push_back(std::move(prompt));
    }
  }
}

void CheckAnswerCount(FieldReader& reader, const DialectLimits& limits,
                      const OpenAiRequest& request) {
  const size_t prompts = 1 + request.further_prompts.size();
  const size_t answers = prompts * static_cast<size_t>(request.generate.choices);
  if (answers <= limits.answers_max) return;
  reader.Fail(
      "n", absl::StrCat("n is ", request.generate.choices, " for ", prompts, " prompts: ", answers,
                        " answers, at most ", limits.answers_max, " are given at once"));
}

// The names of vLLM and SGLang.
void ReadReasoning(FieldReader& reader, OpenAiRequest& request) {
  request.include_reasoning = reader.Bool("include_reasoning").value_or(true);
  request.generate.inline_reasoning = !reader.Bool("separate_reasoning").value_or(true);
}

void ReadChatLogprobs(FieldReader& reader, GenerateRequest& request) {
  const bool logprobs = reader.Bool("logprobs").value_or(false);
  const auto top = reader.Integer("top_logprobs", 0, kChatLogprobsMax);
  if (logprobs) request.sampling.top_logprobs = static_cast<int32_t>(top.value_or(0));
  if (!logprobs && top.value_or(0) > 0) {
    reader.Fail("top_logprobs", "top_logprobs needs \"logprobs\": true");
  }
}

void RefuseChatFeatures(FieldReader& reader) {
  const json* modalities = reader.Find("modalities");
  if (modalities != nullptr && *modalities != json::array({"text"})) {
    RefuseUnsupported(reader, "modalities", "only [\"text\"] is supported");
  }
}

void ReadCompletionLogprobs(FieldReader& reader, GenerateRequest& request) {
  const auto top = reader.Integer("logprobs", 0, kCompletionLogprobsMax);
  if (top) request.sampling.top_logprobs = static_cast<int32_t>(*top);
  request.echo = reader.Bool("echo").value_or(false);
  if (request.echo) request.prompt_logprobs = request.sampling.top_logprobs;
}

void RefuseCompletionFeatures(FieldReader& reader, const GenerateRequest& request) {
  if (!reader.String("suffix").value_or("").empty()) {
    RefuseUnsupported(reader, "suffix", "not supported");
  }
  const auto best_of = reader.Integer("best_of", 1, std::numeric_limits<int32_t>::max());
  if (best_of && *best_of != request.choices) {
    RefuseUnsupported(reader, "best_of", "not supported; leave it out or make it equal to n");
  }
}

OpenAiParseResult Finish(const FieldReader& reader, OpenAiRequest request) {
  if (reader.error()) return InvalidRequest(reader.error()->message, reader.error()->param);
  return request;
}

}  // namespace

OpenAiParseResult ParseChatRequest(std::string_view body, const DialectLimits& limits) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return InvalidRequest(std::string(parsed.status().message()));
  FieldReader reader(*parsed);
  OpenAiRequest request;
  ChatPrompt prompt = ReadChatPrompt(body, limits.messages_max, reader);
  ToolFields tools = ReadTools(body, reader);
  prompt.tools_json = std::move(tools.tools_json);
  request.generate.tool_use = std::move(tools.tool_use);
  ReadCommon(body, reader, limits, kChatLength, request);
  ReadChatLogprobs(reader, request.generate);
  ReadReasoning(reader, request);
  RefuseChatFeatures(reader);
  request.generate.prompt = std::move(prompt);
  return Finish(reader, std::move(request));
}

OpenAiParseResult ParseCompletionRequest(std::string_view body, const DialectLimits& limits) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return InvalidRequest(std::string(parsed.status().message()));
  FieldReader reader(*parsed);
  OpenAiRequest request;
  ReadPrompts(reader, limits, request);
  ReadCommon(body, reader, limits, kCompletionLength, request);
  CheckAnswerCount(reader, limits, request);
  ReadCompletionLogprobs(reader, request.generate);
  RefuseCompletionFeatures(reader, request.generate);
  return Finish(reader, std::move(request));
}

}  // namespace spillway
