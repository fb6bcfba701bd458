#include "worker/prompt_builder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/chat_rendering.h"

namespace spillway {

absl::StatusOr<BuiltPrompt> PromptBuilder::Build(const PromptSource& source) const {
  absl::StatusOr<BuiltPrompt> built;
  if (const auto* chat = std::get_if<ChatInput>(&source)) {
    built = BuildChat(*chat);
  } else if (const auto* text = std::get_if<std::string>(&source)) {
    built = BuildText(*text);
  } else {
    built = CheckTokens(std::get<std::vector<TokenId>>(source));
  }
  RETURN_IF_ERROR(built.status());
  if (built->tokens.empty()) return absl::InvalidArgumentError("the prompt is empty");
  return built;
}

const ToolCallFormat* PromptBuilder::tool_format() const {
  for (const ChatTemplate* chat_template : {tool_template_, chat_template_}) {
    if (chat_template != nullptr && chat_template->knows_tools()) {
      return &chat_template->tool_call_format();
    }
  }
  return nullptr;
}

bool PromptBuilder::has_reasoning() const {
  return chat_template_ != nullptr && chat_template_->reasoning_format() != nullptr;
}

absl::StatusOr<BuiltPrompt> PromptBuilder::BuildChat(const ChatInput& input) const {
  const bool has_tools = !input.tools_json.empty();
  const ChatTemplate* const chosen =
      has_tools && tool_template_ != nullptr ? tool_template_ : chat_template_;
  if (chosen == nullptr) {
    return absl::FailedPreconditionError(
        tool_template_ == nullptr
            ? "the model has no chat template; use /v1/completions with a prompt"
            : "the model has a chat template for requests with tools, and none for others");
  }
  ASSIGN_OR_RETURN(RenderedPrompt rendered, RenderChat(*chosen, input));
  BuiltPrompt built;
  built.tokens = tokenizer_.Encode(rendered.text, rendered.trusted);
  built.text = std::move(rendered.text);
  built.reasoning = {.format = chosen->reasoning_format(), .open = rendered.reasoning_open};
  if (has_tools) built.tool_format = &chosen->tool_call_format();
  return built;
}

BuiltPrompt PromptBuilder::BuildText(const std::string& text) const {
  BuiltPrompt built;
  if (tokenizer_.add_bos() && tokenizer_.bos() >= 0) built.tokens.push_back(tokenizer_.bos());
  const std::vector<TokenId> encoded = tokenizer_.Encode(text);
  built.tokens.insert(built.tokens.end(), encoded.begin(), encoded.end());
  built.text = text;
  return built;
}

absl::StatusOr<BuiltPrompt> PromptBuilder::CheckTokens(const std::vector<TokenId>& tokens) const {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= tokenizer_.vocabulary_size()) {
      return absl::InvalidArgumentError(absl::StrCat("token ", tokens[i], " at position ", i,
                                                     " is not in the vocabulary of ",
                                                     tokenizer_.vocabulary_size(), " tokens"));
    }
  }
  return BuiltPrompt{.text = "", .tokens = tokens};
}

}  // namespace spillway
