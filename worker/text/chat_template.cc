#include "worker/text/chat_template.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_globals.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_json.h"
#include "worker/text/jinja_parser.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

using jinja::Dict;
using jinja::Heap;
using jinja::None;
using jinja::Scope;
using jinja::Sequence;
using jinja::Text;
using jinja::Value;

// Roles out of this list are the template's words as much as the request's: templates put them
// between the halves of control tokens ('<|' + role + '|>').
constexpr std::string_view kRoles[] = {"system",    "developer", "user",
                                       "assistant", "tool",      "function"};

absl::Status Prefixed(const absl::Status& status, std::string_view what) {
  return absl::Status(status.code(),
                      absl::StrCat(std::string(what), std::string(status.message())));
}

absl::StatusOr<Value> ParseInput(std::string_view json, std::string_view what, int depth_max,
                                 Heap& heap) {
  auto value = jinja::ParseJson(json, depth_max, heap);
  if (!value.ok()) return Prefixed(value.status(), absl::StrCat(std::string(what), ": "));
  return value;
}

bool IsList(const Value& value) {
  return value.sequence() != nullptr && value.sequence()->flavor == Sequence::Flavor::kList;
}

void TrustKnownRoles(const Value& messages, Heap& heap) {
  for (const Value& message : messages.sequence()->items) {
    const Value* const role = message.dict()->Find("role");
    if (role == nullptr || role->string() == nullptr) continue;
    for (const std::string_view known : kRoles) {
      if (role->string()->view() != known) continue;
      message.dict()->Set(heap.Untrusted("role"),
                          heap.NewString(Text::Trusted(std::string(known))));
      break;
    }
  }
}

// Whether the last marker behind all that came in with the request opens the reasoning.
bool OpensReasoning(const RenderedPrompt& prompt, const ReasoningFormat& format) {
  if (prompt.trusted.empty() || prompt.trusted.back().end != prompt.text.size()) return false;
  const std::string_view tail = std::string_view(prompt.text).substr(prompt.trusted.back().begin);
  // Where the last of the markers begins, plus one; 0: there is none.
  const auto last = [tail](const ReasoningFormat::Markers& markers) {
    size_t end = 0;
    for (const std::string_view marker : markers) {
      if (!marker.empty()) end = std::max(end, tail.rfind(marker) + 1);
    }
    return end;
  };
  return last(format.opens) > last(format.closes);
}

}  // namespace

class ChatTemplate::Impl {
 public:
  Impl(std::vector<TemplateToken> tokens, ChatTemplateLimits limits)
      : tokens_(std::move(tokens)), limits_(limits) {}

  absl::Status Parse(std::string_view source) {
    if (source.size() > limits_.source_bytes_max) {
      return absl::InvalidArgumentError(absl::StrCat("chat template: ", source.size(),
                                                     " bytes, at most ", limits_.source_bytes_max));
    }
    if (!IsUtf8(source)) return absl::InvalidArgumentError("chat template: not UTF-8");
    auto block = jinja::ParseTemplate(source, limits_.depth_max);
    if (!block.ok()) return Prefixed(block.status(), "chat template: ");
    block_ = *std::move(block);
    reasoning_format_ = FindReasoningFormat(source);
    tool_call_format_ = &FindToolCallFormat(source);
    knows_tools_ = source.find("tools") != std::string_view::npos;
    return absl::OkStatus();
  }

  const ReasoningFormat* reasoning_format() const { return reasoning_format_; }
  const ToolCallFormat& tool_call_format() const { return *tool_call_format_; }
  bool knows_tools() const { return knows_tools_; }

  absl::StatusOr<RenderedPrompt> Render(const ChatInput& input) const {
    jinja::Budget budget(limits_.steps_max, limits_.output_bytes_max);
    Heap heap(budget);
    Scope* const globals = heap.NewScope(nullptr);
    jinja::SetGlobalFunctions(heap, *globals);
    RETURN_IF_ERROR(SetVariables(input, heap, *globals));
    jinja::Interpreter interpreter(heap, input.template_time, limits_.depth_max);
    auto text = interpreter.Run(block_, globals);
    if (!text.ok()) return Prefixed(text.status(), "chat template: ");
    RenderedPrompt prompt = {.text = std::string(text->view()), .trusted = text->trusted()};
    prompt.reasoning_open =
        reasoning_format_ != nullptr && OpensReasoning(prompt, *reasoning_format_);
    return prompt;
  }

 private:
  absl::Status SetVariables(const ChatInput& input, Heap& heap, Scope& globals) const {
    for (const TemplateToken& token : tokens_) {
      globals.Set(token.variable, heap.NewString(Text::Trusted(token.text)));
    }
    globals.Set("documents", None{});
    if (!input.template_kwargs_json.empty()) {
      ASSIGN_OR_RETURN(const Value kwargs, ParseInput(input.template_kwargs_json, "template kwargs",
                                                      limits_.depth_max, heap));
      if (kwargs.dict() == nullptr) {
        return absl::InvalidArgumentError("template kwargs: not a JSON object");
      }
      for (const Dict::Entry& entry : kwargs.dict()->entries()) {
        globals.Set(entry.key.string()->view(), entry.value);
      }
    }
    ASSIGN_OR_RETURN(const Value messages,
                     ParseInput(input.messages_json, "messages", limits_.depth_max, heap));
    const auto is_object = [](const Value& message) { return message.dict() != nullptr; };
    if (!IsList(messages) || !std::all_of(messages.sequence()->items.begin(),
                                          messages.sequence()->items.end(), is_object)) {
      return absl::InvalidArgumentError("messages: not a JSON array of objects");
    }
    TrustKnownRoles(messages, heap);
    globals.Set("messages", messages);
    Value tools = None{};
    if (!input.tools_json.empty()) {
      ASSIGN_OR_RETURN(tools, ParseInput(input.tools_json, "tools", limits_.depth_max, heap));
      if (!IsList(tools)) return absl::InvalidArgumentError("tools: not a JSON array");
    }
    globals.Set("tools", tools);
    globals.Set("add_generation_prompt", Value::Bool(input.add_generation_prompt));
    return absl::OkStatus();
  }

  const std::vector<TemplateToken> tokens_;
  const ChatTemplateLimits limits_;
  jinja::Block block_;
  const ReasoningFormat* reasoning_format_ = nullptr;
  const ToolCallFormat* tool_call_format_ = nullptr;
  bool knows_tools_ = false;
};

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(std::string_view source,
                                                                  std::vector<TemplateToken> tokens,
                                                                  ChatTemplateLimits limits) {
  for (TemplateToken& token : tokens) token.text = ReplaceBadUtf8(token.text);
  auto impl = std::make_unique<Impl>(std::move(tokens), limits);
  RETURN_IF_ERROR(impl->Parse(source));
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(impl)));
}

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(std::string_view source,
                                                                  std::string bos, std::string eos,
                                                                  ChatTemplateLimits limits) {
  std::vector<TemplateToken> tokens;
  if (!bos.empty()) tokens.push_back({"bos_token", std::move(bos)});
  if (!eos.empty()) tokens.push_back({"eos_token", std::move(eos)});
  return Parse(source, std::move(tokens), limits);
}

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<RenderedPrompt> ChatTemplate::Render(const ChatInput& input) const {
  return impl_->Render(input);
}

const ReasoningFormat* ChatTemplate::reasoning_format() const { return impl_->reasoning_format(); }

const ToolCallFormat& ChatTemplate::tool_call_format() const { return impl_->tool_call_format(); }

bool ChatTemplate::knows_tools() const { return impl_->knows_tools(); }

}  // namespace spillway
