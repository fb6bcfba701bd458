#include "server/dialects/anthropic_request.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/json_fields.h"
#include "server/dialects/sampling_fields.h"
#include "server/dialects/stop_strings.h"

namespace spillway {
namespace {

using nlohmann::json;

// The texts of a message, by channel.
struct Texts {
  std::string content;
  std::string thinking;
};

// Adds one content block. False, with an error in `reader`, when it is none that can be read here.
bool AddBlock(const json& block, const std::string& path, FieldReader& reader, Texts& texts) {
  if (!block.is_object()) {
    reader.Fail(path, absl::StrCat(path, ": must be an object, not ", ShowJson(block)));
    return false;
  }
  const json type = block.value("type", json());
  const auto text_of = [&](const char* name, std::string& out) {
    const auto text = block.find(name);
    if (text == block.end() || !text->is_string()) {
      reader.Fail(path, absl::StrCat(path, ".", name, ": must be a string"));
      return false;
    }
    out += text->get_ref<const std::string&>();
    return true;
  };
  if (type == "text") return text_of("text", texts.content);
  if (type == "thinking") return text_of("thinking", texts.thinking);
  if (type == "redacted_thinking") return true;  // nobody but its maker can read it
  if (type == "tool_use" || type == "tool_result") {
    reader.Fail(path, absl::StrCat(path, ": this server doesn't support tools yet"));
  } else {
    reader.Fail(path, absl::StrCat(path, ": is of type ", ShowJson(type),
                                   "; this server takes only blocks of type \"text\""));
  }
  return false;
}

// A string, or an array of blocks.
std::optional<Texts> ReadContent(const json* content, const std::string& path,
                                 FieldReader& reader) {
  Texts texts;
  if (content != nullptr && content->is_string()) {
    texts.content = content->get<std::string>();
    return texts;
  }
  if (content == nullptr || !content->is_array()) {
    reader.Fail(path, absl::StrCat(path, ": must be a string or an array of blocks, not ",
                                   content == nullptr ? "missing" : ShowJson(*content)));
    return std::nullopt;
  }
  for (size_t i = 0; i < content->size(); ++i) {
    if (!AddBlock((*content)[i], absl::StrCat(path, ".", i), reader, texts)) return std::nullopt;
  }
  return texts;
}

void AppendMessage(std::string_view role, const Texts& texts, std::string& out) {
  if (out.back() != '[') out += ',';
  out += "{\"role\":\"";
  out += role;
  out += "\",\"content\":";
  AppendJsonString(out, texts.content);
  if (!texts.thinking.empty()) {
    out += ",\"reasoning_content\":";
    AppendJsonString(out, texts.thinking);
  }
  out += '}';
}

// In OpenAI's shape; with an error in `reader` some text.
std::string ReadMessages(FieldReader& reader, const DialectLimits& limits) {
  std::string out = "[";
  if (const json* system = reader.Find("system")) {
    const auto texts = ReadContent(system, "system", reader);
    if (texts && !texts->content.empty()) AppendMessage("system", *texts, out);
  }
  const json* messages = reader.Find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty() ||
      messages->size() > limits.messages_max) {
    reader.Fail("messages", absl::StrCat("messages: must be an array of 1 to ", limits.messages_max,
                                         " messages"));
    return "";
  }
  json role;
  for (size_t i = 0; i < messages->size(); ++i) {
    const json& message = (*messages)[i];
    const std::string path = absl::StrCat("messages.", i);
    role = message.is_object() ? message.value("role", json()) : json();
    if (role != "user" && role != "assistant" && role != "system") {
      reader.Fail(path, absl::StrCat(path, ".role: must be \"user\" or \"assistant\", not ",
                                     ShowJson(role)));
      return "";
    }
    const auto content = message.find("content");
    const auto texts =
        ReadContent(content == message.end() ? nullptr : &*content, path + ".content", reader);
    if (!texts) return "";
    AppendMessage(role.get_ref<const std::string&>(), *texts, out);
  }
  if (role == "assistant") {
    reader.Fail("messages",
                "messages: the last is the assistant's, and continuing it is not supported; end "
                "with a message of the user");
  }
  return out + "]";
}

// The variables of the chat template for what `thinking` asks.
std::string ReadThinking(FieldReader& reader, AnthropicRequest& request) {
  const json* thinking = reader.Find("thinking");
  if (thinking == nullptr) return "";
  const json type = thinking->is_object() ? thinking->value("type", json()) : json();
  if (type == "disabled") {
    request.show_thinking = false;
    return R"({"enable_thinking":false})";
  }
  if (type == "enabled" || type == "adaptive") return R"({"enable_thinking":true})";
  reader.Fail("thinking",
              absl::StrCat("thinking.type: must be \"enabled\", \"adaptive\" or \"disabled\", not ",
                           ShowJson(type)));
  return "";
}

void ReadSampling(FieldReader& reader, const DialectLimits& limits, GenerateRequest& request) {
  ReadSamplingFields(reader, request.sampling);
  ReadStopStrings(reader, "stop_sequences", limits, request.stop_strings);
}

void RefuseTools(FieldReader& reader) {
  const json* tools = reader.Find("tools");
  if (tools != nullptr && (!tools->is_array() || !tools->empty())) {
    reader.Fail("tools", "tools: this server doesn't support tools yet; leave them out");
  }
}

AnthropicParseResult Parse(std::string_view body, const DialectLimits& limits, bool count) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return AnthropicRefusal{std::string(parsed.status().message())};
  FieldReader reader(*parsed);
  AnthropicRequest request;
  GenerateRequest& generate = request.generate;
  generate.model = reader.String("model").value_or("");
  generate.timeout = limits.request_time;
  RefuseTools(reader);
  ChatPrompt prompt;
  prompt.messages_json = ReadMessages(reader, limits);
  prompt.template_kwargs_json = ReadThinking(reader, request);
  generate.prompt = std::move(prompt);
  if (count) {
    generate.prompt_only = true;
  } else {
    ReadSampling(reader, limits, generate);
    request.stream = reader.Bool("stream").value_or(false);
    const auto length = reader.Integer("max_tokens", 1, limits.new_tokens_max);
    if (!length) reader.Fail("max_tokens", "max_tokens: is missing; an integer is needed");
    generate.new_tokens_max = static_cast<int32_t>(length.value_or(1));
  }
  if (reader.error()) return AnthropicRefusal{reader.error()->message};
  return request;
}

}  // namespace

AnthropicParseResult ParseAnthropicMessages(std::string_view body, const DialectLimits& limits) {
  return Parse(body, limits, /*count=*/false);
}

AnthropicParseResult ParseAnthropicCount(std::string_view body, const DialectLimits& limits) {
  return Parse(body, limits, /*count=*/true);
}

}  // namespace spillway
