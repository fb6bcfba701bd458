#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_text.h"

// What Python's str can do, on text that knows what is trusted in it. The result of an operation
// keeps for each byte what it was; what changes a character's bytes (case) does so too.

namespace spillway::jinja {

enum class Side { kBoth, kLeft, kRight };

// strip(). Without `characters`: whitespace.
Text Strip(const Text& text, const Text* characters, Side side);

// split() and rsplit(). Without a separator at runs of whitespace. `splits_max` < 0: no limit.
// INVALID_ARGUMENT: the separator is empty.
absl::StatusOr<std::vector<Text>> Split(const Text& text, const Text* separator, int64_t splits_max,
                                        bool from_right, Budget& budget);
absl::StatusOr<std::vector<Text>> SplitLines(const Text& text, bool keep_ends, Budget& budget);

// Where `pattern` is, from `from` on, or npos. Linear in both, unlike string_view's.
size_t FindText(std::string_view text, std::string_view pattern, size_t from = 0);
size_t FindLastText(std::string_view text, std::string_view pattern);

// replace(); `count` < 0: all.
absl::Status Replace(const Text& text, const Text& from, const Text& to, int64_t count,
                     TextBuilder& out);

enum class Case { kUpper, kLower, kFolded, kSwap, kCapitalized, kTitle, kJinjaTitle };
void ChangeCase(const Text& text, Case to, TextBuilder& out);

// The five characters that HTML gives a meaning, as entities; not in what is escaped already.
void EscapeHtml(const Text& text, TextBuilder& out);

// The code points [begin, end) with a step, as Python slices; nothing where left out.
absl::StatusOr<Value> SliceText(const Text& text, std::optional<int64_t> begin,
                                std::optional<int64_t> end, int64_t step, Heap& heap);

// Python's slice indices for something of `length`: the first index, and how many from there.
struct SliceRange {
  int64_t first = 0;
  int64_t count = 0;
  int64_t last = 0;  // the index that is the first beyond
};
SliceRange ResolveSlice(std::optional<int64_t> begin, std::optional<int64_t> end, int64_t step,
                        int64_t length);

int64_t CountCodePoints(std::string_view text);

// The byte at which the code point number `count` begins. Requires that there are as many.
size_t SkipCodePoints(std::string_view text, int64_t count);

}  // namespace spillway::jinja
