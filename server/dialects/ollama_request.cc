#include "server/dialects/ollama_request.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/json_slices.h"
#include "server/dialects/constraint_fields.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/json_fields.h"
#include "server/dialects/stop_strings.h"
#include "server/dialects/text_inputs.h"
#include "server/dialects/tool_fields.h"

namespace spillway {
namespace {

using nlohmann::json;

constexpr double kAnyNumber = std::numeric_limits<double>::max();
constexpr int64_t kAnyInteger = std::numeric_limits<int64_t>::max();

bool IsFilled(const json* value) {
  if (value == nullptr) return false;
  if (value->is_string()) return !value->get_ref<const std::string&>().empty();
  return !value->is_structured() || !value->empty();
}

// The model is always named: a client that leaves it out is told so, as Ollama does.
std::string ReadModel(FieldReader& reader) {
  std::string model = reader.String("model").value_or("");
  if (model.empty()) reader.Fail("model", "model is required");
  return model;
}

void ReadSampling(FieldReader& reader, const DialectLimits& limits, GenerateRequest& request) {
  SamplingOptions& sampling = request.sampling;
  const auto number = [&reader](const char* name, float min, float max) -> std::optional<float> {
    const auto value = reader.Number(name, -kAnyNumber, kAnyNumber);
    if (!value) return std::nullopt;
    return static_cast<float>(std::clamp<double>(*value, min, max));
  };
  sampling.temperature = number("temperature", 0, 100);
  sampling.top_p = number("top_p", 1e-6f, 1);
  sampling.min_p = number("min_p", 0, 0.999999f);
  sampling.repetition_penalty = number("repeat_penalty", 0.01f, 100);
  sampling.presence_penalty = number("presence_penalty", -2, 2).value_or(0);
  sampling.frequency_penalty = number("frequency_penalty", -2, 2).value_or(0);
  if (const auto value = reader.Integer("top_k", -kAnyInteger, kAnyInteger)) {
    sampling.top_k =
        static_cast<int32_t>(std::clamp<int64_t>(*value, 0, std::numeric_limits<int32_t>::max()));
  }
  if (const auto value = reader.Integer("seed", -kAnyInteger, kAnyInteger)) {
    sampling.seed = static_cast<uint64_t>(*value);
  }
  // Not over 0: as long as the context has room for.
  if (const auto value = reader.Integer("num_predict", -kAnyInteger, kAnyInteger)) {
    request.new_tokens_max =
        static_cast<int32_t>(std::clamp<int64_t>(*value, 0, limits.new_tokens_max));
  }
  ReadStopStrings(reader, "stop", limits, request.stop_strings);
}

void ReadOptions(FieldReader& reader, const DialectLimits& limits, GenerateRequest& request) {
  const json* options = reader.Find("options");
  if (options == nullptr) return;
  if (!options->is_object()) {
    reader.Fail("options", absl::StrCat("options must be an object, not ", ShowJson(*options)));
    return;
  }
  FieldReader option_reader(*options);
  ReadSampling(option_reader, limits, request);
  if (option_reader.error()) {
    reader.Fail("options", absl::StrCat("options: ", option_reader.error()->message));
  }
}

// "5m", 300, -1; 0 unloads.
bool ReadKeepAliveIsZero(FieldReader& reader) {
  const json* value = reader.Find("keep_alive");
  if (value == nullptr) return false;
  if (value->is_number()) return value->get<double>() == 0;
  if (!value->is_string()) {
    reader.Fail("keep_alive",
                absl::StrCat("keep_alive must be a duration such as \"5m\" or seconds, not ",
                             ShowJson(*value)));
    return false;
  }
  const std::string& text = value->get_ref<const std::string&>();
  absl::Duration duration;
  return text == "0" || (absl::ParseDuration(text, &duration) && duration == absl::ZeroDuration());
}

// The variables of the chat template for what `think` asks.
std::string ReadThink(FieldReader& reader, OllamaRequest& request) {
  const json* think = reader.Find("think");
  if (think == nullptr) return "";
  if (think->is_boolean()) {
    request.show_thinking = think->get<bool>();
    return request.show_thinking ? R"({"enable_thinking":true})" : R"({"enable_thinking":false})";
  }
  for (const char* level : {"low", "medium", "high"}) {
    if (*think == level) {
      return absl::StrCat(R"({"enable_thinking":true,"reasoning_effort":")", level, "\"}");
    }
  }
  reader.Fail("think",
              absl::StrCat("think must be true, false, \"low\", \"medium\" or \"high\", not ",
                           ShowJson(*think)));
  return "";
}

void Refuse(FieldReader& reader, const char* name, std::string_view why) {
  if (IsFilled(reader.Find(name))) reader.Fail(name, absl::StrCat(name, ": ", std::string(why)));
}

// What both endpoints have. Returns the variables of the chat template.
std::string ReadCommon(std::string_view body, FieldReader& reader, const DialectLimits& limits,
                       OllamaRequest& request) {
  request.generate.model = ReadModel(reader);
  request.generate.timeout = limits.request_time;
  request.stream = reader.Bool("stream").value_or(true);
  request.unload = ReadKeepAliveIsZero(reader);
  ReadOptions(reader, limits, request.generate);
  request.generate.constraint = ReadOllamaFormat(body, reader);
  return ReadThink(reader, request);
}

void AppendMember(std::string_view name, std::string_view value, std::string& out) {
  out += ",\"";
  out += name;
  out += "\":";
  AppendJsonString(out, value);
}

// Appends a message in OpenAI's shape; `text` is its own text. An error is left in `reader`.
void AppendMessage(const json& message, std::string_view text, const std::string& path,
                   FieldReader& reader, std::string& out) {
  if (!message.is_object()) {
    reader.Fail(path, absl::StrCat(path, " must be an object, not ", ShowJson(message)));
    return;
  }
  FieldReader fields(message);
  const std::string role = fields.String("role").value_or("");
  if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
    fields.Fail("role",
                absl::StrCat("role must be \"system\", \"user\", \"assistant\" or \"tool\", "
                             "not ",
                             ShowJson(json(role))));
  }
  out += "{\"role\":";
  AppendJsonString(out, role);
  AppendMember("content", fields.String("content").value_or(""), out);
  if (const auto thinking = fields.String("thinking")) {
    AppendMember("reasoning_content", *thinking, out);
  }
  if (const auto name = fields.String("tool_name")) AppendMember("name", *name, out);
  if (const auto id = fields.String("tool_call_id")) AppendMember("tool_call_id", *id, out);
  Refuse(fields, "images", "this server takes no images");
  const json* calls = fields.Find("tool_calls");
  if (calls != nullptr && !calls->is_array()) {
    fields.Fail("tool_calls", "tool_calls must be an array");
  } else if (IsFilled(calls)) {
    out += ",\"tool_calls\":";
    out += SliceOrDump(text, "tool_calls", *calls);
  }
  out += '}';
  if (fields.error()) reader.Fail(path, absl::StrCat(path, ".", fields.error()->message));
}

// A whole array, or with an error in `reader` some text.
std::string ReadMessages(std::string_view body, const DialectLimits& limits, FieldReader& reader) {
  const json* messages = reader.Find("messages");
  if (messages == nullptr) return "[]";
  if (!messages->is_array() || messages->size() > limits.messages_max) {
    reader.Fail("messages",
                absl::StrCat("messages must be an array of at most ", limits.messages_max,
                             " messages, not ", ShowJson(*messages)));
    return "";
  }
  const auto texts = JsonElements(JsonMemberValue(body, "messages").value_or(""));
  std::string out = "[";
  for (size_t i = 0; i < messages->size(); ++i) {
    if (i > 0) out += ',';
    const std::string_view own = texts && i < texts->size() ? (*texts)[i] : std::string_view();
    AppendMessage((*messages)[i], own, absl::StrCat("messages[", i, "]"), reader, out);
  }
  out += ']';
  return out;
}

template <typename Result>
std::variant<Result, OllamaRefusal> Finish(const FieldReader& reader, Result result) {
  if (reader.error()) return OllamaRefusal{reader.error()->message};
  return result;
}

std::string SystemAndUser(const std::string& system, const std::string& prompt) {
  std::string out = "[";
  if (!system.empty()) {
    out += "{\"role\":\"system\"";
    AppendMember("content", system, out);
    out += "},";
  }
  out += "{\"role\":\"user\"";
  AppendMember("content", prompt, out);
  out += "}]";
  return out;
}

}  // namespace

std::variant<OllamaRequest, OllamaRefusal> ParseOllamaChat(std::string_view body,
                                                           const DialectLimits& limits) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return OllamaRefusal{std::string(parsed.status().message())};
  FieldReader reader(*parsed);
  OllamaRequest request;
  ChatPrompt prompt;
  prompt.template_kwargs_json = ReadCommon(body, reader, limits, request);
  ToolFields tools = ReadTools(body, reader);
  prompt.tools_json = std::move(tools.tools_json);
  request.generate.tool_use = std::move(tools.tool_use);
  prompt.messages_json = ReadMessages(body, limits, reader);
  request.only_load = prompt.messages_json == "[]";
  request.generate.prompt = std::move(prompt);
  return Finish(reader, std::move(request));
}

std::variant<OllamaRequest, OllamaRefusal> ParseOllamaGenerate(std::string_view body,
                                                               const DialectLimits& limits) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return OllamaRefusal{std::string(parsed.status().message())};
  FieldReader reader(*parsed);
  OllamaRequest request;
  std::string variables = ReadCommon(body, reader, limits, request);
  Refuse(reader, "images", "this server takes no images");
  Refuse(reader, "suffix", "this server does not insert between texts");
  Refuse(reader, "template",
         "the model's own template is used; send the whole prompt with \"raw\"");
  Refuse(reader, "context", "not supported; use /api/chat with the messages so far");
  const std::string prompt = reader.String("prompt").value_or("");
  const std::string system = reader.String("system").value_or("");
  request.only_load = prompt.empty();
  if (reader.Bool("raw").value_or(false)) {
    request.generate.prompt = prompt;
  } else {
    request.generate.prompt = ChatPrompt{.messages_json = SystemAndUser(system, prompt),
                                         .tools_json = "",
                                         .template_kwargs_json = std::move(variables)};
  }
  return Finish(reader, std::move(request));
}

std::variant<OllamaEmbedding, OllamaRefusal> ParseOllamaEmbed(std::string_view body,
                                                              const DialectLimits& limits) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return OllamaRefusal{std::string(parsed.status().message())};
  FieldReader reader(*parsed);
  OllamaEmbedding request;
  request.embed.model = ReadModel(reader);
  request.embed.timeout = limits.request_time;
  request.embed.truncate = reader.Bool("truncate").value_or(true);
  if (IsFilled(reader.Find("input"))) {
    request.embed.inputs = ReadTextInputs(reader, "input", limits.embedding_inputs_max, limits);
  }
  if (const auto dimensions = reader.Integer("dimensions", 0, 1 << 20);
      dimensions.value_or(0) > 0) {
    request.dimensions = static_cast<int32_t>(*dimensions);
  }
  return Finish(reader, std::move(request));
}

std::variant<OllamaEmbedding, OllamaRefusal> ParseOllamaEmbeddings(std::string_view body,
                                                                   const DialectLimits& limits) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return OllamaRefusal{std::string(parsed.status().message())};
  FieldReader reader(*parsed);
  OllamaEmbedding request;
  request.embed.model = ReadModel(reader);
  request.embed.timeout = limits.request_time;
  request.embed.truncate = true;
  std::string prompt = reader.String("prompt").value_or("");
  if (!prompt.empty()) request.embed.inputs.emplace_back(std::move(prompt));
  return Finish(reader, std::move(request));
}

std::variant<std::string, OllamaRefusal> ParseOllamaModel(std::string_view body) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return OllamaRefusal{std::string(parsed.status().message())};
  FieldReader reader(*parsed);
  const auto old_name = reader.String("name");
  std::string model = reader.String("model").value_or(old_name.value_or(""));
  if (model.empty()) reader.Fail("model", "model is required");
  return Finish(reader, std::move(model));
}

}  // namespace spillway
