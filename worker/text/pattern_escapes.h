#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/text/code_point_set.h"

namespace spillway {

// Walks over a regular expression.
class PatternCursor {
 public:
  explicit PatternCursor(std::string_view expression) : expression_(expression) {}

  bool done() const { return at_ == expression_.size(); }
  bool Sees(std::string_view text) const { return expression_.substr(at_).starts_with(text); }
  // Takes `text` if it comes next.
  bool Take(std::string_view text);
  // Requires that it is not done. The expression is UTF-8.
  char32_t TakeCharacter();
  // Decimal digits, if any come next; what is too large is INT_MAX.
  std::optional<int> TakeNumber();
  // Up to `count_max` hexadecimal digits; nothing without one, or beyond Unicode.
  std::optional<char32_t> TakeHex(int count_max);

  absl::Status Wrong(std::string_view what) const;    // INVALID_ARGUMENT
  absl::Status Unknown(std::string_view what) const;  // UNIMPLEMENTED

 private:
  std::string_view expression_;
  size_t at_ = 0;
};

// What a backslash and the characters after it stand for.
struct PatternEscape {
  CodePointSet set;
  bool is_class = false;  // \s, \p{L}, …: no single character
};

// After the backslash; not for anchors.
absl::StatusOr<PatternEscape> ParsePatternEscape(PatternCursor& in);

// A character class, after its opening bracket.
absl::StatusOr<CodePointSet> ParsePatternClass(PatternCursor& in);

}  // namespace spillway
