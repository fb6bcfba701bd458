// What a model writes, as reasoning, content and calls of tools: however it is cut into pieces, the
// channels are the same, and hold nothing that wasn't written. The first byte picks the formats, of
// the reasoning with its low five bits and of the calls with its high three and those of the
// second; that says whether the prompt has opened the reasoning, how the text is cut, and whether
// one call is enough. In the rest a piece ends before each 0x1e; one that begins with 0x1d is a
// control token.

#include "worker/text/output_parser.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/check.h"
#include "worker/text/reasoning_format.h"
#include "worker/text/tool_call_format.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

struct Piece {
  std::string text;  // whole characters
  bool control = false;
};

std::vector<Piece> Pieces(std::string_view bytes) {
  std::vector<Piece> pieces;
  while (true) {
    const size_t end = std::min(bytes.find('\x1e'), bytes.size());
    std::string_view piece = bytes.substr(0, end);
    const bool control = piece.starts_with('\x1d');
    if (control) piece.remove_prefix(1);
    pieces.push_back({ReplaceBadUtf8(piece), control});
    if (end == bytes.size()) return pieces;
    bytes.remove_prefix(end + 1);
  }
}

struct Parsed {
  OutputText text;
  size_t content_begin = 0;
};

// `cut`: 0: each piece at once; else text is cut behind every so many characters.
Parsed Parse(const ReasoningStart& start, const ToolCallStart& tools,
             const std::vector<Piece>& pieces, size_t cut) {
  OutputParser parser(start, tools);
  Parsed parsed;
  size_t written = 0;
  const auto check = [&] {
    CHECK(parser.content_begin() >= parsed.content_begin);
    parsed.content_begin = parser.content_begin();
    CHECK(parsed.content_begin <= parser.read_bytes());
    CHECK(parser.content_begun() || parsed.text.content.empty());
    CHECK(parsed.text.reasoning.size() + parsed.text.content.size() + parser.held_content_bytes() <=
          written);
    CHECK(IsUtf8(parsed.text.content) && IsUtf8(parsed.text.reasoning));
  };
  for (const Piece& piece : pieces) {
    if (piece.control) {
      parser.AppendControl(piece.text, parsed.text);
      check();
      continue;
    }
    std::string_view rest = piece.text;
    while (!rest.empty()) {
      size_t size = cut == 0 ? rest.size() : 0;
      for (size_t i = 0; i < cut && size < rest.size(); ++i) {
        size += FirstUtf8Character(rest.substr(size)).size;
      }
      written += size;
      parser.Append(rest.substr(0, size), parsed.text);
      rest.remove_prefix(size);
      check();
    }
  }
  parser.Flush(parsed.text);
  check();
  return parsed;
}

// Name and arguments of each call; each begins with its name, in its turn.
std::vector<std::string> Calls(const std::vector<ToolCallDelta>& deltas) {
  std::vector<std::string> calls;
  for (const ToolCallDelta& delta : deltas) {
    if (!delta.name.empty()) calls.push_back(delta.name + "\n");
    CHECK(static_cast<size_t>(delta.index) + 1 == calls.size());
    CHECK(IsUtf8(delta.arguments));
    calls.back() += delta.arguments;
  }
  return calls;
}

void Run(std::string_view data) {
  const auto formats = ReasoningFormats();
  const size_t format = (static_cast<uint8_t>(data[0]) & 31) % (formats.size() + 1);
  const auto tool_formats = ToolCallFormats();
  const size_t tool_format =
      (static_cast<uint8_t>(data[0]) / 32 + static_cast<uint8_t>(data[1]) / 32) %
      (tool_formats.size() + 1);
  const ToolCallStart tools = {
      .format = tool_format == 0 ? nullptr : &tool_formats[tool_format - 1],
      .tools = {"f", "add", "get_weather"},
      .one_call = (data[1] & 16) != 0};
  const ReasoningStart start = {.format = format == 0 ? nullptr : &formats[format - 1],
                                .open = (data[1] & 1) != 0};
  const std::vector<Piece> pieces = Pieces(data.substr(2));

  const Parsed whole = Parse(start, tools, pieces, 0);
  const Parsed cut = Parse(start, tools, pieces, 1 + static_cast<uint8_t>(data[1]) / 2 % 5);

  CHECK(cut.text.reasoning == whole.text.reasoning);
  CHECK(cut.text.content == whole.text.content);
  CHECK(cut.content_begin == whole.content_begin);
  CHECK(Calls(cut.text.tool_calls) == Calls(whole.text.tool_calls));
  if (start.format != nullptr || !whole.text.tool_calls.empty()) return;
  std::string text;
  for (const Piece& piece : pieces) {
    if (!piece.control) text += piece.text;
  }
  CHECK(whole.text.content == text && whole.text.reasoning.empty());
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size >= 2) spillway::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
