#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/text/chat_template.h"
#include "worker/text/reasoning_format.h"
#include "worker/text/tokenizer.h"
#include "worker/text/tool_call_format.h"

namespace spillway {

// What a request's prompt is made of: a chat, plain text, or token ids.
using PromptSource = std::variant<ChatInput, std::string, std::vector<TokenId>>;

struct BuiltPrompt {
  std::string text;  // empty when the source was token ids
  std::vector<TokenId> tokens;
  // Of a chat; what answers text or tokens is never parsed.
  ReasoningStart reasoning{};
  const ToolCallFormat* tool_format = nullptr;  // of a chat with tools
};

// Renders and tokenizes prompts. Immutable: any thread may use it at once. `tokenizer` and the
// templates outlive it.
class PromptBuilder {
 public:
  // `chat_template` may be null: chats are then refused, but for those that have tools if there is
  // another template for them, `tool_template`.
  PromptBuilder(const Tokenizer& tokenizer, const ChatTemplate* chat_template,
                const ChatTemplate* tool_template = nullptr)
      : tokenizer_(tokenizer), chat_template_(chat_template), tool_template_(tool_template) {}

  // INVALID_ARGUMENT: the template refuses the messages, a token id is outside the vocabulary, or
  // there is nothing to run. FAILED_PRECONDITION: a chat, and the model has no template for it.
  // Text gets the model's BOS where the model wants one; chats get what their template writes.
  absl::StatusOr<BuiltPrompt> Build(const PromptSource& source) const;

  // How the model writes calls of tools; null: its templates show it none.
  const ToolCallFormat* tool_format() const;
  // The templates mark what the model thinks.
  bool has_reasoning() const;

 private:
  absl::StatusOr<BuiltPrompt> BuildChat(const ChatInput& input) const;
  BuiltPrompt BuildText(const std::string& text) const;
  absl::StatusOr<BuiltPrompt> CheckTokens(const std::vector<TokenId>& tokens) const;

  const Tokenizer& tokenizer_;
  const ChatTemplate* const chat_template_;
  const ChatTemplate* const tool_template_;
};

}  // namespace spillway
