#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/text/reasoning_format.h"
#include "worker/text/tokenizer.h"
#include "worker/text/tool_call_format.h"

namespace spillway {

// What a chat template is rendered with. JSON texts in the shapes that templates are written for
// (OpenAI's messages and tools).
struct ChatInput {
  std::string messages_json;         // an array of message objects
  std::string tools_json;            // an array; empty: `tools` is none, as transformers has it
  std::string template_kwargs_json;  // an object of further variables; empty: none
  bool add_generation_prompt = true;
  absl::Time template_time;  // what strftime_now() sees, in UTC
};

struct RenderedPrompt {
  std::string text;
  // Where the text comes from the template itself and not from the input: only there may a control
  // token be meant. So are bos and eos, and a message's role if it is one of the usual six. Sorted,
  // disjoint.
  std::vector<TextRange> trusted;
  // The template has opened the model's reasoning behind the last message: what the model writes
  // begins inside of it.
  bool reasoning_open = false;
};

struct ChatTemplateLimits {
  size_t source_bytes_max = 1u << 20;
  int64_t steps_max = 2'000'000;  // evaluated nodes of one rendering
  size_t output_bytes_max = size_t{16} << 20;
  int depth_max = 100;  // nested expressions and blocks
};

// A special token that templates know by a variable's name: bos_token, eos_token, pad_token…
struct TemplateToken {
  std::string variable;
  std::string text;
};

// A model's chat template: Jinja as transformers runs it (sandboxed, so that nothing changes a list
// or dict; trim_blocks, lstrip_blocks, raise_exception, strftime_now, tojson, loop controls,
// generation blocks), on Python's strings, numbers, lists, tuples and dicts. An error, where Jinja
// has them: include, import, extends, self and super(), autoescape that is on; the filters urlize
// and random, pprint beyond a line; arithmetic beyond 64 bits, complex numbers, sets, bytes, the
// methods of numbers. Python's Unicode is that of unicode_classes.h.
// Immutable after Parse(): any thread may render at once.
class ChatTemplate {
 public:
  // INVALID_ARGUMENT names line and construct that can't be parsed or is unknown.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(std::string_view source,
                                                             std::vector<TemplateToken> tokens,
                                                             ChatTemplateLimits limits = {});
  // With bos_token and eos_token; one whose text is empty is undefined, as in transformers where a
  // model has none.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(std::string_view source,
                                                             std::string bos, std::string eos,
                                                             ChatTemplateLimits limits = {});
  ~ChatTemplate();

  // INVALID_ARGUMENT: the input is not JSON of the right shape, or the template refuses it
  // (raise_exception's text, an undefined name…). RESOURCE_EXHAUSTED: beyond a limit.
  absl::StatusOr<RenderedPrompt> Render(const ChatInput& input) const;

  // How the model marks its reasoning, by the markers in its template; null: it doesn't.
  const ReasoningFormat* reasoning_format() const;

  // How the model writes calls of tools, by the markers in its template.
  const ToolCallFormat& tool_call_format() const;
  // Whether it shows the model the tools that a request has.
  bool knows_tools() const;

 private:
  class Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
