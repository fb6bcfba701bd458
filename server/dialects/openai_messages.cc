#include "server/dialects/openai_messages.h"

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/json_slices.h"
#include "server/dialects/json_escape.h"

namespace spillway {
namespace {

using nlohmann::json;

std::optional<std::string> CanonicalRole(const json& role) {
  if (!role.is_string()) return std::nullopt;
  const std::string& name = role.get_ref<const std::string&>();
  if (name == "developer") return "system";
  if (name == "function") return "tool";
  if (name == "system" || name == "user" || name == "assistant" || name == "tool") return name;
  return std::nullopt;
}

// The text of one content part; nullopt with an error when it isn't text.
std::optional<std::string> PartText(const json& part, const std::string& path,
                                    FieldReader& reader) {
  if (!part.is_object()) {
    reader.Fail(path, absl::StrCat(path, " must be an object, not ", ShowJson(part)));
    return std::nullopt;
  }
  const json type = part.value("type", json("text"));
  for (const char* kind : {"text", "refusal"}) {
    if (type == kind && part.contains(kind) && part.at(kind).is_string()) {
      return part.at(kind).get<std::string>();
    }
  }
  if (type == "text") {
    reader.Fail(path, absl::StrCat(path, ".text must be a string"));
  } else {
    reader.Fail(path, absl::StrCat(path, " is of type ", ShowJson(type),
                                   "; this server takes only parts of type \"text\""));
  }
  return std::nullopt;
}

std::optional<std::string> ContentText(const json& message, bool may_lack_content,
                                       const std::string& path, FieldReader& reader) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    if (may_lack_content) return "";
    reader.Fail(path, absl::StrCat(path, " is missing; a string or an array of parts is needed"));
    return std::nullopt;
  }
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    reader.Fail(path, absl::StrCat(path, " must be a string or an array of parts, not ",
                                   ShowJson(*content)));
    return std::nullopt;
  }
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::optional<std::string> part =
        PartText((*content)[i], absl::StrCat(path, "[", i, "]"), reader);
    if (!part) return std::nullopt;
    text += *part;
  }
  return text;
}

void AppendMember(std::string_view name, std::string_view value, std::string& out) {
  absl::StrAppend(&out, ",\"", std::string(name), "\":");
  AppendJsonString(out, value);
}

// The first of the fields that is a string, under the first's name.
void AppendFirst(const json& message, std::initializer_list<const char*> names, std::string& out) {
  for (const char* name : names) {
    const auto field = message.find(name);
    if (field == message.end() || !field->is_string()) continue;
    return AppendMember(*names.begin(), field->get_ref<const std::string&>(), out);
  }
}

// False, with an error in `reader`, when the message is unfit.
bool AppendMessage(const json& message, std::string_view text, const std::string& path,
                   FieldReader& reader, std::string& out) {
  if (!message.is_object()) {
    reader.Fail(path, absl::StrCat(path, " must be an object, not ", ShowJson(message)));
    return false;
  }
  const json role_field = message.value("role", json());
  const std::optional<std::string> role = CanonicalRole(role_field);
  if (!role) {
    reader.Fail(path + ".role", absl::StrCat(path,
                                             ".role must be \"system\", \"developer\", \"user\", "
                                             "\"assistant\" or \"tool\", not ",
                                             ShowJson(role_field)));
    return false;
  }
  const std::optional<std::string> content =
      ContentText(message, *role == "assistant", path + ".content", reader);
  if (!content) return false;
  absl::StrAppend(&out, "{\"role\":\"", *role, "\"");
  AppendMember("content", *content, out);
  AppendFirst(message, {"reasoning_content", "reasoning"}, out);  // the latter is vLLM's new name
  AppendFirst(message, {"name"}, out);
  AppendFirst(message, {"tool_call_id"}, out);
  const auto calls = message.find("tool_calls");
  if (calls != message.end() && !calls->is_null()) {
    if (!calls->is_array()) {
      reader.Fail(path + ".tool_calls", absl::StrCat(path, ".tool_calls must be an array"));
      return false;
    }
    if (!calls->empty()) {
      out += ",\"tool_calls\":";
      out += SliceOrDump(text, "tool_calls", *calls);
    }
  }
  out += '}';
  return true;
}

}  // namespace

std::string CanonicalMessages(const json& messages, std::string_view text, size_t messages_max,
                              FieldReader& reader) {
  if (!messages.is_array() || messages.empty()) {
    reader.Fail("messages", "messages must be an array of at least one message");
    return "";
  }
  if (messages.size() > messages_max) {
    reader.Fail("messages",
                absl::StrCat("messages must be at most ", messages_max, ", not ", messages.size()));
    return "";
  }
  const auto texts = JsonElements(text);
  std::string canonical = "[";
  for (size_t i = 0; i < messages.size(); ++i) {
    if (i > 0) canonical += ',';
    const std::string_view own = texts && i < texts->size() ? (*texts)[i] : std::string_view();
    if (!AppendMessage(messages[i], own, absl::StrCat("messages[", i, "]"), reader, canonical)) {
      return "";
    }
  }
  canonical += ']';
  return canonical;
}

}  // namespace spillway
