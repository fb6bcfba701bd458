#include "worker/text/chat_rendering.h"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <vector>

#include "common/json_slices.h"

namespace spillway {
namespace {

using nlohmann::json;

// The object that a JSON string spells, as it spells it.
std::optional<std::string> ObjectIn(std::string_view json_string) {
  if (!json_string.starts_with('"')) return std::nullopt;
  const json parsed = json::parse(json_string, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_string()) return std::nullopt;
  const std::string& text = parsed.get_ref<const std::string&>();
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "{}";
  if (text[begin] != '{' || !json::accept(text)) return std::nullopt;
  return text;
}

// The arguments of the message's tool calls.
std::vector<std::string_view> ArgumentsIn(std::string_view message) {
  std::vector<std::string_view> arguments;
  const auto calls = JsonElements(JsonMemberValue(message, "tool_calls").value_or(""));
  for (const std::string_view call : calls.value_or(std::vector<std::string_view>())) {
    const auto function = JsonMemberValue(call, "function");
    if (const auto found = JsonMemberValue(function.value_or(""), "arguments")) {
      arguments.push_back(*found);
    }
  }
  return arguments;
}

}  // namespace

std::optional<std::string> WithArgumentObjects(std::string_view messages_json) {
  if (messages_json.find("\"tool_calls\"") == std::string_view::npos) return std::nullopt;
  const auto messages = JsonElements(messages_json);
  std::string changed;
  size_t copied = 0;
  for (const std::string_view message : messages.value_or(std::vector<std::string_view>())) {
    for (const std::string_view arguments : ArgumentsIn(message)) {
      const auto object = ObjectIn(arguments);
      if (!object) continue;
      const auto at = static_cast<size_t>(arguments.data() - messages_json.data());
      changed.append(messages_json, copied, at - copied);
      changed += *object;
      copied = at + arguments.size();
    }
  }
  if (copied == 0) return std::nullopt;
  changed += messages_json.substr(copied);
  return changed;
}

absl::StatusOr<RenderedPrompt> RenderChat(const ChatTemplate& chat_template,
                                          const ChatInput& input) {
  std::optional<std::string> messages = WithArgumentObjects(input.messages_json);
  if (!messages.has_value()) return chat_template.Render(input);
  ChatInput with_objects = input;
  with_objects.messages_json = *std::move(messages);
  absl::StatusOr<RenderedPrompt> prompt = chat_template.Render(with_objects);
  if (prompt.ok()) return prompt;
  absl::StatusOr<RenderedPrompt> as_it_came = chat_template.Render(input);
  return as_it_came.ok() ? as_it_came : prompt;
}

}  // namespace spillway
