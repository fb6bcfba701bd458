#include "worker/text/pattern_escapes.h"

#include <climits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/unicode_properties.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

constexpr int kClassDepthMax = 100;

int HexValue(char32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<int>(c - 'A') + 10;
  return -1;
}

std::optional<CodePointSet> LetterClass(char32_t letter) {
  switch (letter) {
    case 'd':
      return UnicodeProperty("Nd");
    case 's':
      return UnicodeWhiteSpace();
    case 'w':
      return UnicodeWord();
    case 'h':
      return UnicodeProperty("XDigit");
    default:
      return std::nullopt;
  }
}

std::optional<char32_t> ControlLetter(char32_t letter) {
  switch (letter) {
    case 't':
      return '\t';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 'v':
      return '\v';
    case 'f':
      return '\f';
    case 'a':
      return '\a';
    case 'e':
      return 0x1B;
    default:
      return std::nullopt;
  }
}

// After \p or \P.
absl::StatusOr<CodePointSet> ParseProperty(PatternCursor& in, bool negated) {
  if (!in.Take("{")) return in.Wrong("\\p without {");
  if (in.Take("^")) negated = !negated;
  std::string name;
  while (!in.done() && !in.Sees("}")) AppendUtf8(in.TakeCharacter(), name);
  if (!in.Take("}")) return in.Wrong("\\p{ without }");
  std::optional<CodePointSet> set = UnicodeProperty(name);
  if (!set) return in.Unknown(absl::StrCat("the property \"", name, "\""));
  return negated ? set->Complement() : *std::move(set);
}

absl::StatusOr<CodePointSet> ParseNumber(PatternCursor& in, char32_t letter) {
  std::optional<char32_t> c;
  if (letter == 'u') {
    c = in.TakeHex(4);
  } else if (in.Take("{")) {
    c = in.TakeHex(8);
    if (!in.Take("}")) return in.Wrong("\\x{ without }");
  } else {
    c = in.TakeHex(2);
    // Two digits are a byte there; above ASCII it would be half a character.
    if (c && *c > 0x7F) return in.Unknown("a byte of a character");
  }
  if (!c) return in.Wrong("a number that is no character");
  return CodePointSet(*c);
}

class ClassParser {
 public:
  explicit ClassParser(PatternCursor& in) : in_(in) {}

  // After the opening bracket.
  absl::StatusOr<CodePointSet> Parse(int depth) {
    if (depth > kClassDepthMax) return in_.Wrong("classes nested too deep");
    const bool negated = in_.Take("^");
    std::optional<CodePointSet> before;  // what stood before the last &&
    CodePointSet set;
    bool first = true;
    while (!in_.Sees("]") || first) {
      if (in_.done()) return in_.Wrong("a [ that is not closed");
      if (in_.Take("&&")) {
        before = before ? before->And(set) : set;
        set = CodePointSet();
        continue;
      }
      RETURN_IF_ERROR(Item(set, depth));
      first = false;
    }
    in_.Take("]");
    if (before) set = before->And(set);
    return negated ? set.Complement() : set;
  }

 private:
  absl::Status Item(CodePointSet& set, int depth) {
    if (in_.Take("[:")) {
      ASSIGN_OR_RETURN(const CodePointSet named, PosixClass());
      set.Add(named);
      return absl::OkStatus();
    }
    if (in_.Take("[")) {
      ASSIGN_OR_RETURN(const CodePointSet inner, Parse(depth + 1));
      set.Add(inner);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const PatternEscape low, Element());
    const PatternCursor here = in_;
    if (low.is_class || !in_.Take("-") || in_.Sees("]") || in_.Sees("&&") || in_.Sees("[")) {
      in_ = here;
      set.Add(low.set);
      return absl::OkStatus();
    }
    if (in_.done()) return in_.Wrong("a [ that is not closed");
    ASSIGN_OR_RETURN(const PatternEscape high, Element());
    if (high.is_class) return in_.Wrong("a range that ends with a class");
    const CodePointRange range{low.set.ranges()[0].first, high.set.ranges()[0].first};
    if (range.last < range.first) return in_.Wrong("a range that runs backwards");
    set.Add(range);
    return absl::OkStatus();
  }

  absl::StatusOr<PatternEscape> Element() {
    if (!in_.Take("\\")) return PatternEscape{CodePointSet(in_.TakeCharacter())};
    if (in_.done()) return in_.Wrong("a backslash at the end");
    if (in_.Take("b")) return PatternEscape{CodePointSet(U'\b')};
    return ParsePatternEscape(in_);
  }

  // After [:
  absl::StatusOr<CodePointSet> PosixClass() {
    const bool negated = in_.Take("^");
    std::string name;
    while (!in_.done() && !in_.Sees(":]")) AppendUtf8(in_.TakeCharacter(), name);
    if (!in_.Take(":]")) return in_.Wrong("[: without :]");
    std::optional<CodePointSet> set = UnicodeProperty(name);
    if (!set) return in_.Unknown(absl::StrCat("the class \"", name, "\""));
    if (name == "punct") set->Add(*UnicodeProperty("S"));
    return negated ? set->Complement() : *std::move(set);
  }

  PatternCursor& in_;
};

}  // namespace

bool PatternCursor::Take(std::string_view text) {
  if (!Sees(text)) return false;
  at_ += text.size();
  return true;
}

char32_t PatternCursor::TakeCharacter() {
  const Utf8Character character = FirstUtf8Character(expression_.substr(at_));
  at_ += static_cast<size_t>(character.size);
  return character.code_point;
}

std::optional<int> PatternCursor::TakeNumber() {
  std::optional<int> number;
  while (at_ < expression_.size() && expression_[at_] >= '0' && expression_[at_] <= '9') {
    const int digit = expression_[at_++] - '0';
    const int before = number.value_or(0);
    number = before > (INT_MAX - digit) / 10 ? INT_MAX : before * 10 + digit;
  }
  return number;
}

std::optional<char32_t> PatternCursor::TakeHex(int count_max) {
  char32_t value = 0;
  int count = 0;
  for (; count < count_max && at_ < expression_.size(); ++count, ++at_) {
    const int digit = HexValue(static_cast<unsigned char>(expression_[at_]));
    if (digit < 0) break;
    if (value > CodePointSet::kMax) return std::nullopt;
    value = value << 4 | static_cast<char32_t>(digit);
  }
  if (count == 0 || value > CodePointSet::kMax) return std::nullopt;
  return value;
}

absl::Status PatternCursor::Wrong(std::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat("pattern: ", std::string(what), ", before byte ", at_));
}

absl::Status PatternCursor::Unknown(std::string_view what) const {
  return absl::UnimplementedError(
      absl::StrCat("pattern: ", std::string(what), " is not supported, before byte ", at_));
}

absl::StatusOr<PatternEscape> ParsePatternEscape(PatternCursor& in) {
  if (in.done()) return in.Wrong("a backslash at the end");
  const char32_t letter = in.TakeCharacter();
  const bool is_upper = letter >= 'A' && letter <= 'Z';
  if (std::optional<CodePointSet> set = LetterClass(is_upper ? letter - 'A' + 'a' : letter)) {
    return PatternEscape{is_upper ? set->Complement() : *std::move(set), true};
  }
  if (letter == 'p' || letter == 'P') {
    ASSIGN_OR_RETURN(CodePointSet set, ParseProperty(in, letter == 'P'));
    return PatternEscape{std::move(set), true};
  }
  if (letter == 'x' || letter == 'u') {
    ASSIGN_OR_RETURN(CodePointSet set, ParseNumber(in, letter));
    return PatternEscape{std::move(set)};
  }
  if (const std::optional<char32_t> control = ControlLetter(letter)) {
    return PatternEscape{CodePointSet(*control)};
  }
  const bool is_letter = is_upper || (letter >= 'a' && letter <= 'z');
  if (is_letter || (letter >= '0' && letter <= '9')) {
    std::string escape = "\\";
    AppendUtf8(letter, escape);
    return in.Unknown(escape);
  }
  return PatternEscape{CodePointSet(letter)};
}

absl::StatusOr<CodePointSet> ParsePatternClass(PatternCursor& in) {
  return ClassParser(in).Parse(0);
}

}  // namespace spillway
