#include "server/dialects/openai_chat_prompt.h"

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/json_slices.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/openai_messages.h"

namespace spillway {
namespace {

using nlohmann::json;

// Fields that other servers have for what is a variable of many templates: Bailian's, and OpenAI's,
// as vLLM hands it on.
std::string VariablesOfTheirOwn(FieldReader& reader) {
  std::string members;
  if (const auto thinking = reader.Bool("enable_thinking")) {
    absl::StrAppend(&members, "\"enable_thinking\":", *thinking ? "true" : "false");
  }
  if (const auto effort = reader.String("reasoning_effort")) {
    members += members.empty() ? "\"reasoning_effort\":" : ",\"reasoning_effort\":";
    AppendJsonString(members, *effort);
  }
  return members;
}

std::string ReadTemplateVariables(std::string_view body, FieldReader& reader) {
  std::string own = VariablesOfTheirOwn(reader);
  const json* kwargs = reader.Find("chat_template_kwargs");
  if (kwargs != nullptr && !kwargs->is_object()) {
    reader.Fail("chat_template_kwargs",
                absl::StrCat("chat_template_kwargs must be an object, not ", ShowJson(*kwargs)));
    return "";
  }
  if (kwargs == nullptr || kwargs->empty()) return own.empty() ? "" : "{" + own + "}";
  std::string said = SliceOrDump(body, "chat_template_kwargs", *kwargs);
  // Behind the others, so that they count where a name is there twice.
  if (!own.empty()) said.replace(0, 1, "{" + own + ",");
  return said;
}

}  // namespace

ChatPrompt ReadChatPrompt(std::string_view body, size_t messages_max, FieldReader& reader) {
  ChatPrompt prompt;
  if (const json* messages = reader.Find("messages")) {
    const std::string_view text = JsonMemberValue(body, "messages").value_or("");
    prompt.messages_json = CanonicalMessages(*messages, text, messages_max, reader);
  } else {
    reader.Fail("messages", "messages is missing; an array of messages is needed");
  }
  prompt.template_kwargs_json = ReadTemplateVariables(body, reader);
  prompt.add_generation_prompt = reader.Bool("add_generation_prompt").value_or(true);
  return prompt;
}

}  // namespace spillway
