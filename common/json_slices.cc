#include "common/json_slices.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace spillway {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// Reads a text from the front. What isn't there leaves it where it was.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool AtEnd() {
    SkipSpace();
    return at_ == text_.size();
  }

  bool Take(char expected) {
    SkipSpace();
    if (at_ == text_.size() || text_[at_] != expected) return false;
    ++at_;
    return true;
  }

  // A string with its quotes.
  std::optional<std::string_view> TakeString() {
    SkipSpace();
    const size_t end = StringEnd(at_);
    if (end == at_) return std::nullopt;
    return Cut(end);
  }

  std::optional<std::string_view> TakeValue() {
    SkipSpace();
    size_t end = at_;
    int depth = 0;
    do {
      if (end == text_.size()) return std::nullopt;
      const char c = text_[end];
      if (c == '"') {
        const size_t behind = StringEnd(end);
        if (behind == end) return std::nullopt;
        end = behind;
      } else if (c == '{' || c == '[') {
        ++depth;
        ++end;
      } else if (c == '}' || c == ']') {
        --depth;
        ++end;
      } else if (depth > 0) {
        ++end;
      } else {
        end = std::min(text_.find_first_of(",]} \t\r\n", end), text_.size());
      }
    } while (depth > 0);
    if (end == at_ || depth < 0) return std::nullopt;
    return Cut(end);
  }

 private:
  void SkipSpace() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }

  // Behind the string that begins at `begin`; `begin`: there is none.
  size_t StringEnd(size_t begin) const {
    if (begin == text_.size() || text_[begin] != '"') return begin;
    // Images are strings of megabytes: from quote to quote, and back over what may escape it.
    for (size_t quote = begin + 1; (quote = text_.find('"', quote)) != std::string_view::npos;
         ++quote) {
      size_t backslashes = 0;
      while (text_[quote - 1 - backslashes] == '\\') ++backslashes;
      if (backslashes % 2 == 0) return quote + 1;
    }
    return begin;
  }

  std::string_view Cut(size_t end) {
    const std::string_view cut = text_.substr(at_, end - at_);
    at_ = end;
    return cut;
  }

  const std::string_view text_;
  size_t at_ = 0;
};

// The value of four hexadecimal digits; -1: they are none.
int32_t HexValue(std::string_view digits) {
  if (digits.size() != 4) return -1;
  int32_t value = 0;
  for (const char c : digits) {
    const char lower = static_cast<char>(c | 0x20);
    int32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (lower >= 'a' && lower <= 'f') {
      digit = lower - 'a' + 10;
    } else {
      return -1;
    }
    value = value * 16 + digit;
  }
  return value;
}

// Takes the first character off the inside of a string. -1: it is none, or a control character
// that no ASCII name has.
int32_t TakeCharacter(std::string_view& text) {
  if (text[0] != '\\') {
    const auto character = static_cast<unsigned char>(text[0]);
    text.remove_prefix(1);
    return character;
  }
  if (text.size() < 2) return -1;
  if (text[1] == 'u') {
    const int32_t value = HexValue(text.substr(2, 4));
    text.remove_prefix(std::min<size_t>(6, text.size()));
    return value;
  }
  const char escaped = text[1];
  text.remove_prefix(2);
  return escaped == '"' || escaped == '\\' || escaped == '/' ? escaped : -1;
}

}  // namespace

bool JsonNameIs(std::string_view spelled, std::string_view name) {
  while (!spelled.empty() && !name.empty()) {
    if (TakeCharacter(spelled) != static_cast<unsigned char>(name[0])) return false;
    name.remove_prefix(1);
  }
  return spelled.empty() && name.empty();
}

std::optional<std::vector<JsonMember>> JsonMembers(std::string_view text) {
  auto members = JsonSpelledMembers(text);
  if (!members) return std::nullopt;
  for (const JsonMember& member : *members) {
    if (member.name.find('\\') != std::string_view::npos) return std::nullopt;
  }
  return members;
}

std::optional<std::vector<JsonMember>> JsonSpelledMembers(std::string_view text) {
  Scanner scanner(text);
  std::vector<JsonMember> members;
  if (!scanner.Take('{')) return std::nullopt;
  if (scanner.Take('}')) return scanner.AtEnd() ? std::optional(members) : std::nullopt;
  do {
    const auto name = scanner.TakeString();
    if (!name) return std::nullopt;
    if (!scanner.Take(':')) return std::nullopt;
    const auto value = scanner.TakeValue();
    if (!value) return std::nullopt;
    members.push_back({name->substr(1, name->size() - 2), *value});
  } while (scanner.Take(','));
  if (!scanner.Take('}') || !scanner.AtEnd()) return std::nullopt;
  return members;
}

std::optional<std::vector<std::string_view>> JsonElements(std::string_view text) {
  Scanner scanner(text);
  std::vector<std::string_view> elements;
  if (!scanner.Take('[')) return std::nullopt;
  if (scanner.Take(']')) return scanner.AtEnd() ? std::optional(elements) : std::nullopt;
  do {
    const auto element = scanner.TakeValue();
    if (!element) return std::nullopt;
    elements.push_back(*element);
  } while (scanner.Take(','));
  if (!scanner.Take(']') || !scanner.AtEnd()) return std::nullopt;
  return elements;
}

std::optional<std::string_view> JsonMemberValue(std::string_view object, std::string_view name) {
  const auto members = JsonMembers(object);
  if (!members) return std::nullopt;
  for (auto member = members->rbegin(); member != members->rend(); ++member) {
    if (member->name == name) return member->value;
  }
  return std::nullopt;
}

}  // namespace spillway
