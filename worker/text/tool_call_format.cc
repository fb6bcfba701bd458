#include "worker/text/tool_call_format.h"

#include <algorithm>

namespace spillway {
namespace {

using Syntax = ToolCallFormat::Syntax;

// From the models' templates, and what the models are seen to write. The first row whose evidence
// is there counts; the last has none.
constexpr ToolCallFormat kFormats[] = {
    // DeepSeek V3, R1 and their distills: the name stands behind the word "function", the arguments
    // in a code fence; V3.1 has the name alone and no fence.
    {.name = "deepseek",
     .syntax = Syntax::kNamed,
     .opens = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"},
     .close = "<｜tool▁calls▁end｜>",
     .call_open = "<｜tool▁call▁begin｜>",
     .call_close = "<｜tool▁call▁end｜>",
     .name_end = "<｜tool▁sep｜>",
     .evidence = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"}},
    // Mistral: an array of JSON objects up to Nemo, then name and arguments.
    {.name = "mistral",
     .syntax = Syntax::kNamed,
     .opens = {"[TOOL_CALLS]"},
     .name_end = "[ARGS]",
     .id_begin = "[CALL_ID]",
     .evidence = {"[ARGS]"}},
    {.name = "mistral_json", .opens = {"[TOOL_CALLS]"}, .evidence = {"[TOOL_CALLS]"}},
    // Hermes, Qwen 2.5 and 3, SmolLM3, Granite 4.
    {.name = "hermes",
     .opens = {"<tool_call>"},
     .close = "</tool_call>",
     .evidence = {"<tool_call>", "<tools>"},
     .counter_evidence = {"<function=", "<arg_key>"}},
    // Granite 3, Phi-4-mini.
    {.name = "granite",
     .opens = {"<|tool_call|>", "<tool_call>"},
     .close = "<|/tool_call|>",
     .evidence = {"<|tool_call|>"}},
    // Llama 4, and Llama 3.2 where its template asks for it.
    {.name = "pythonic",
     .syntax = Syntax::kPython,
     .opens = {"<|python_start|>", "<|python_tag|>"},
     .close = "<|python_end|>",
     .bare = true,
     .evidence = {"<|python_start|>", "[func_name1(params_name1=params_value1",
                  "[func1(params_name1=params_value1"}},
    // Llama 3.1, 3.2, 3.3.
    {.name = "llama3_json",
     .opens = {"<|python_tag|>"},
     .bare = true,
     .separator = ";",
     .evidence = {"<|python_tag|>", "\"parameters\": dictionary of argument name"}},
    {.name = "generic", .opens = {"<tool_call>"}, .close = "</tool_call>", .bare = true},
};

bool Has(std::string_view source, std::span<const std::string_view> texts) {
  return std::any_of(texts.begin(), texts.end(), [&](std::string_view text) {
    return !text.empty() && source.find(text) != std::string_view::npos;
  });
}

}  // namespace

const ToolCallFormat& FindToolCallFormat(std::string_view template_source) {
  for (const ToolCallFormat& format : kFormats) {
    if (Has(template_source, format.evidence) && !Has(template_source, format.counter_evidence)) {
      return format;
    }
  }
  return *std::rbegin(kFormats);
}

std::span<const ToolCallFormat> ToolCallFormats() { return kFormats; }

}  // namespace spillway
