#include "worker/text/chat_templates.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

const NamedTemplate* Find(const std::vector<NamedTemplate>& named, std::string_view name) {
  const auto found = std::find_if(named.begin(), named.end(),
                                  [name](const NamedTemplate& one) { return one.name == name; });
  return found == named.end() ? nullptr : &*found;
}

// Null for none.
absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(const NamedTemplate* named,
                                                    const std::vector<TemplateToken>& tokens) {
  if (named == nullptr) return nullptr;
  auto parsed = ChatTemplate::Parse(named->source, tokens);
  if (parsed.ok()) return parsed;
  return absl::Status(parsed.status().code(),
                      absl::StrCat("the chat template \"", named->name,
                                   "\": ", std::string(parsed.status().message())));
}

}  // namespace

absl::StatusOr<ChatTemplates> ParseChatTemplates(const std::vector<NamedTemplate>& named,
                                                 const std::vector<TemplateToken>& tokens) {
  const bool only_one = named.size() == 1;
  ChatTemplates templates;
  ASSIGN_OR_RETURN(templates.usual,
                   Parse(only_one ? &named.front() : Find(named, "default"), tokens));
  if (!only_one) {
    ASSIGN_OR_RETURN(templates.with_tools, Parse(Find(named, "tool_use"), tokens));
  }
  return templates;
}

}  // namespace spillway
