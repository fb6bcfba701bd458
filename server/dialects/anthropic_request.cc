#include "server/dialects/anthropic_request.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json_slices.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/json_fields.h"
#include "server/dialects/sampling_fields.h"
#include "server/dialects/stop_strings.h"

namespace spillway {
namespace {

using nlohmann::json;

constexpr size_t kToolsMax = 1024;

// What a message holds, by channel.
struct Texts {
  std::string content;
  std::string thinking;
  std::string calls;    // elements of OpenAI's tool_calls
  std::string results;  // messages of role "tool", each with a comma behind it
};

// Clients repeat the ids that they were given, which had this before them; templates want the rest.
constexpr std::string_view kIdPrefix = "toolu_";

void AppendMember(std::string_view name, std::string_view value, std::string& out) {
  out += ",\"";
  out += name;
  out += "\":";
  AppendJsonString(out, value);
}

std::string_view WithoutPrefix(std::string_view id) {
  if (id.starts_with(kIdPrefix)) id.remove_prefix(kIdPrefix.size());
  return id;
}

std::optional<Texts> ReadContent(const json* content, std::string_view text,
                                 const std::string& path, FieldReader& reader);

// A call that the model made: its arguments as they are spelled in `text`.
bool AddCall(const json& block, std::string_view text, const std::string& path, FieldReader& reader,
             Texts& texts) {
  FieldReader fields(block);
  const auto id = fields.String("id");
  const auto name = fields.String("name");
  const json* input = fields.Find("input");
  if (!id || !name || input == nullptr || !input->is_object()) {
    reader.Fail(path, absl::StrCat(path,
                                   ": tool_use needs a string id, a string name and an object "
                                   "input"));
    return false;
  }
  texts.calls += texts.calls.empty() ? "{\"type\":\"function\"" : ",{\"type\":\"function\"";
  AppendMember("id", WithoutPrefix(*id), texts.calls);
  texts.calls += ",\"function\":{\"name\":";
  AppendJsonString(texts.calls, *name);
  AppendMember("arguments", SliceOrDump(text, "input", *input), texts.calls);
  texts.calls += "}}";
  return true;
}

// What came of a call.
bool AddResult(const json& block, std::string_view text, const std::string& path,
               FieldReader& reader, Texts& texts) {
  FieldReader fields(block);
  const auto id = fields.String("tool_use_id");
  if (!id) {
    reader.Fail(path, absl::StrCat(path, ".tool_use_id: must be a string"));
    return false;
  }
  Texts result;
  if (const json* content = fields.Find("content")) {
    const auto read = ReadContent(content, JsonMemberValue(text, "content").value_or(""),
                                  path + ".content", reader);
    if (!read) return false;
    result = *read;
  }
  texts.results += "{\"role\":\"tool\"";
  AppendMember("tool_call_id", WithoutPrefix(*id), texts.results);
  AppendMember("content", result.content, texts.results);
  texts.results += "},";
  return true;
}

// Adds one content block; `text` is its own. False, with an error in `reader`, when it is none that
// can be read here.
bool AddBlock(const json& block, std::string_view text, const std::string& path,
              FieldReader& reader, Texts& texts) {
  if (!block.is_object()) {
    reader.Fail(path, absl::StrCat(path, ": must be an object, not ", ShowJson(block)));
    return false;
  }
  const json type = block.value("type", json());
  const auto text_of = [&](const char* name, std::string& out) {
    const auto found = block.find(name);
    if (found == block.end() || !found->is_string()) {
      reader.Fail(path, absl::StrCat(path, ".", name, ": must be a string"));
      return false;
    }
    out += found->get_ref<const std::string&>();
    return true;
  };
  if (type == "text") return text_of("text", texts.content);
  if (type == "thinking") return text_of("thinking", texts.thinking);
  if (type == "redacted_thinking") return true;  // nobody but its maker can read it
  if (type == "tool_use") return AddCall(block, text, path, reader, texts);
  if (type == "tool_result") return AddResult(block, text, path, reader, texts);
  reader.Fail(path, absl::StrCat(path, ": is of type ", ShowJson(type),
                                 "; this server takes only text, thinking, tool_use and "
                                 "tool_result"));
  return false;
}

// A string, or an array of blocks; `text` is its own.
std::optional<Texts> ReadContent(const json* content, std::string_view text,
                                 const std::string& path, FieldReader& reader) {
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
  const auto slices = JsonElements(text);
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string_view own = slices && i < slices->size() ? (*slices)[i] : std::string_view();
    if (!AddBlock((*content)[i], own, absl::StrCat(path, ".", i), reader, texts)) {
      return std::nullopt;
    }
  }
  return texts;
}

// The results of calls come before what the user says beside them.
void AppendMessage(std::string_view role, const Texts& texts, std::string& out) {
  if (out.back() != '[') out += ',';
  out += texts.results;
  if (!texts.results.empty() && texts.content.empty()) {
    out.pop_back();  // the comma
    return;
  }
  out += "{\"role\":\"";
  out += role;
  out += "\",\"content\":";
  AppendJsonString(out, texts.content);
  if (!texts.thinking.empty()) AppendMember("reasoning_content", texts.thinking, out);
  if (!texts.calls.empty()) absl::StrAppend(&out, ",\"tool_calls\":[", texts.calls, "]");
  out += '}';
}

// In OpenAI's shape; with an error in `reader` some text.
std::string ReadMessages(std::string_view body, FieldReader& reader, const DialectLimits& limits) {
  std::string out = "[";
  if (const json* system = reader.Find("system")) {
    const auto texts = ReadContent(system, "", "system", reader);
    if (texts && !texts->content.empty()) AppendMessage("system", *texts, out);
  }
  const json* messages = reader.Find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty() ||
      messages->size() > limits.messages_max) {
    reader.Fail("messages", absl::StrCat("messages: must be an array of 1 to ", limits.messages_max,
                                         " messages"));
    return "";
  }
  const auto slices = JsonElements(JsonMemberValue(body, "messages").value_or(""));
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
    const std::string_view own = slices && i < slices->size() ? (*slices)[i] : std::string_view();
    const auto texts =
        ReadContent(content == message.end() ? nullptr : &*content,
                    JsonMemberValue(own, "content").value_or(""), path + ".content", reader);
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

// One tool in OpenAI's shape; `text` is its own. Empty, with an error in `reader`: it is unfit.
std::string ToolJson(const json& tool, std::string_view text, const std::string& path,
                     FieldReader& reader) {
  if (!tool.is_object()) {
    reader.Fail(path, absl::StrCat(path, ": must be an object, not ", ShowJson(tool)));
    return "";
  }
  FieldReader fields(tool);
  const std::string type = fields.String("type").value_or("custom");
  const auto name = fields.String("name");
  const auto description = fields.String("description");
  const json* schema = fields.Find("input_schema");
  if (type != "custom") {
    reader.Fail(path, absl::StrCat(path, ".type: is \"", type,
                                   "\"; this server has no tools of its own, only custom ones"));
  } else if (fields.error()) {
    reader.Fail(path, absl::StrCat(path, ".", fields.error()->message));
  } else if (!name || name->empty()) {
    reader.Fail(path, absl::StrCat(path, ".name: must be a string that is not empty"));
  } else if (schema == nullptr || !schema->is_object()) {
    reader.Fail(path, absl::StrCat(path, ".input_schema: must be a JSON Schema, an object"));
  }
  if (reader.error()) return "";
  std::string out = "{\"type\":\"function\",\"function\":{\"name\":";
  AppendJsonString(out, *name);
  if (description) AppendMember("description", *description, out);
  absl::StrAppend(&out, ",\"parameters\":", SliceOrDump(text, "input_schema", *schema), "}}");
  return out;
}

// `tools` and `tool_choice`.
void ReadTools(std::string_view body, FieldReader& reader, ChatPrompt& prompt,
               GenerateRequest& request) {
  const json* tools = reader.Find("tools");
  if (tools == nullptr || (tools->is_array() && tools->empty())) return;
  if (!tools->is_array() || tools->size() > kToolsMax) {
    reader.Fail("tools", absl::StrCat("tools: must be an array of at most ", kToolsMax, " tools"));
    return;
  }
  const auto slices = JsonElements(JsonMemberValue(body, "tools").value_or(""));
  std::string out = "[";
  for (size_t i = 0; i < tools->size(); ++i) {
    if (i > 0) out += ',';
    out += ToolJson((*tools)[i], slices && i < slices->size() ? (*slices)[i] : std::string_view(),
                    absl::StrCat("tools.", i), reader);
  }
  ToolUse use;
  if (const json* choice = reader.Find("tool_choice")) {
    const json type = choice->is_object() ? choice->value("type", json()) : json();
    if (type == "none") return;
    if (type == "any") {
      use.choice = ToolUse::Choice::kRequired;
    } else if (type == "tool" && choice->value("name", json()).is_string()) {
      use.choice = ToolUse::Choice::kNamed;
      use.name = choice->at("name").get<std::string>();
    } else if (type != "auto") {
      reader.Fail("tool_choice",
                  "tool_choice.type: must be \"auto\", \"any\", \"none\", or \"tool\" with the "
                  "tool's name beside it");
      return;
    }
    use.one_call = choice->value("disable_parallel_tool_use", json(false)) == true;
  }
  prompt.tools_json = out + "]";
  request.tool_use = use;
}

AnthropicParseResult Parse(std::string_view body, const DialectLimits& limits, bool count) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return AnthropicRefusal{std::string(parsed.status().message())};
  FieldReader reader(*parsed);
  AnthropicRequest request;
  GenerateRequest& generate = request.generate;
  generate.model = reader.String("model").value_or("");
  generate.timeout = limits.request_time;
  ChatPrompt prompt;
  ReadTools(body, reader, prompt, generate);
  prompt.messages_json = ReadMessages(body, reader, limits);
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
