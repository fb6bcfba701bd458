#pragma once

#include <array>
#include <span>
#include <string_view>

namespace spillway {

// How a family of models marks what it thinks before it answers. A marker that isn't used is empty.
struct ReasoningFormat {
  using Markers = std::array<std::string_view, 2>;

  std::string_view name;  // "think", "mistral", …
  Markers opens;          // the reasoning begins behind one of these …
  Markers closes;         // … and ends before one of these
  // Around the answer, and no part of it: right behind the reasoning, or at the very beginning.
  Markers answer_opens;
  Markers answer_closes;  // looked for only behind an answer_opens
  // A template that has all of these is of a model that writes so.
  Markers evidence;
};

// How a sequence's output begins.
struct ReasoningStart {
  const ReasoningFormat* format = nullptr;  // null: nothing is parsed, all is content
  bool open = false;                        // the prompt has opened the reasoning already
};

// The row whose evidence stands in the template, or null: no thinking model. The first that fits;
// those that ask for more come first.
const ReasoningFormat* FindReasoningFormat(std::string_view template_source);

// All rows, for tests.
std::span<const ReasoningFormat> ReasoningFormats();

}  // namespace spillway
