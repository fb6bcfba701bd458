#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/chat_template.h"

namespace spillway {

// A chat template as a model's files have it. Models may ship several, by name.
struct NamedTemplate {
  std::string name;  // "default", "tool_use", "rag"…
  std::string source;
};

// Those of a model's templates that chats are rendered with, chosen as transformers chooses: with
// tools "tool_use" where there is one, else "default". A template that is the only one is the
// default whatever it is called.
struct ChatTemplates {
  std::unique_ptr<ChatTemplate> usual;       // null: there is no default
  std::unique_ptr<ChatTemplate> with_tools;  // null: as `usual`

  bool empty() const { return usual == nullptr && with_tools == nullptr; }
};

// Parses those that may be chosen; `named` may be empty. INVALID_ARGUMENT: one can't be parsed; the
// message names it.
absl::StatusOr<ChatTemplates> ParseChatTemplates(const std::vector<NamedTemplate>& named,
                                                 const std::vector<TemplateToken>& tokens);

}  // namespace spillway
