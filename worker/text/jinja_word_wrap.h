#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_text.h"

namespace spillway::jinja {

struct WordWrap {
  int64_t width = 79;  // characters
  bool break_long_words = true;
  bool break_on_hyphens = true;
};

// One line of text as lines of at most `width`, as Python's textwrap.wrap() cuts it with
// expand_tabs and replace_whitespace off. INVALID_ARGUMENT: the width isn't positive.
absl::StatusOr<std::vector<Text>> WrapLine(const Text& line, const WordWrap& style, Budget& budget);

}  // namespace spillway::jinja
