#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// A regular expression by which texts are cut, with the meaning that Oniguruma gives it, which is
// what Hugging Face's tokenizers runs: the first alternative that leads to a match wins.
//
// Known: characters, `.`, classes with ranges, negation, classes inside classes, && and [:posix:];
// \d \s \w \h and their opposites, \p{…} (worker/text/unicode_properties.h), escapes by number;
// groups, capturing or not; (?i: (?m: and (?i) inside a group; ? * + {n,m}, lazy, and possessive
// after a single character; (?= (?! and, of a fixed number of characters, (?<= (?<!; ^ $ \A \z \Z
// \b
// \B. Back references, atomic groups, conditions, \G \K \R \X are not, and neither is a repetition
// without end of what can match nothing.
//
// A search takes time in the text's length, whatever the expression and the text: what was tried at
// a place and failed is not tried there again (memoised backtracking, Davis et al., 2021).
// Immutable: any thread may use it at once.
class SplitPattern {
 public:
  // UNIMPLEMENTED names what is not known, INVALID_ARGUMENT what is wrong, and where in the
  // expression; or that it is too large (TokenizerLimits::kPatternBytesMax, or more than 2,000
  // steps once repetitions are written out).
  static absl::StatusOr<SplitPattern> Parse(std::string_view expression);
  // Matches exactly `text`. INVALID_ARGUMENT: it is empty, no UTF-8 or too large.
  static absl::StatusOr<SplitPattern> Literal(std::string_view text);
  static absl::StatusOr<SplitPattern> Create(const TextPattern& pattern);
  ~SplitPattern();
  SplitPattern(SplitPattern&&) noexcept;
  SplitPattern& operator=(SplitPattern&&) noexcept;

  // Calls `on_match(begin, end)` for the matches from left to right; they may be empty, but not
  // right after one another. Requires UTF-8. Returns the number of steps that it took.
  using OnMatch = std::function<void(size_t begin, size_t end)>;
  int64_t ForEachMatch(std::string_view text, const OnMatch& on_match) const;

 private:
  class Program;
  explicit SplitPattern(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace spillway
