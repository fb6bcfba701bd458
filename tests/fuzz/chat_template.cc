// Parses arbitrary bytes as a chat template and renders it within small limits: nothing crashes,
// hangs or leaks, and what is said to be trusted are sorted ranges of the text.

#include "worker/text/chat_template.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "common/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = spillway::ChatTemplate::Parse(
      source, "<s>", "</s>", {.steps_max = 20'000, .output_bytes_max = 65'536, .depth_max = 30});
  if (!parsed.ok()) return 0;
  spillway::ChatInput input;
  input.messages_json = R"([{"role": "system", "content": " S "},
      {"role": "user", "content": "a,b é世\n", "n": [1, 2.5, null, true]},
      {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f"}}]}])";
  input.tools_json = R"([{"type": "function", "function": {"name": "f", "parameters": {}}}])";
  input.template_kwargs_json = R"({"x": "X y", "l": [3, 1, 2], "d": {"k": 1}})";
  const auto prompt = (*parsed)->Render(input);
  if (!prompt.ok()) return 0;
  CHECK(prompt->text.size() <= 65'536);
  size_t last = 0;
  for (const spillway::TextRange& range : prompt->trusted) {
    CHECK(range.begin >= last && range.begin < range.end && range.end <= prompt->text.size());
    last = range.end;
  }
  return 0;
}
