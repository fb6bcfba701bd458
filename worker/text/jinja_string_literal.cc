#include "worker/text/jinja_string_literal.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Of the escape \x, \u or \U that `digits` follow.
absl::StatusOr<char32_t> HexEscape(char kind, std::string_view digits) {
  const size_t count = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
  char32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    const int digit = i < digits.size() ? HexDigit(digits[i]) : -1;
    if (digit < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("\\", std::string(1, kind), " needs ", count, " hexadecimal digits"));
    }
    value = value << 4 | static_cast<char32_t>(digit);
  }
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    return absl::InvalidArgumentError("the escape in the string is no character");
  }
  return value;
}

}  // namespace

absl::StatusOr<std::string> DecodeStringLiteral(std::string_view body) {
  std::string out;
  for (size_t at = 0; at < body.size();) {
    if (body[at] != '\\' || at + 1 == body.size()) {
      out += body[at++];
      continue;
    }
    const char escape = body[at + 1];
    constexpr std::string_view kSimple = "\\'\"abfnrtv";
    constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
    at += 2;
    if (const size_t index = kSimple.find(escape); index != std::string_view::npos) {
      out += kMeanings[index];
    } else if (escape == '\n') {
      // An escaped newline is no character.
    } else if (escape >= '0' && escape <= '7') {
      char32_t value = 0;
      --at;
      for (int i = 0; i < 3 && at < body.size() && body[at] >= '0' && body[at] <= '7'; ++i) {
        value = value * 8 + static_cast<char32_t>(body[at++] - '0');
      }
      AppendUtf8(value, out);
    } else if (escape == 'N') {
      return absl::InvalidArgumentError("names of characters (\\N{…}) are not supported");
    } else if (escape == 'x' || escape == 'u' || escape == 'U') {
      ASSIGN_OR_RETURN(const char32_t value, HexEscape(escape, body.substr(at)));
      AppendUtf8(value, out);
      at += escape == 'x' ? 2 : escape == 'u' ? 4 : 8;
    } else {
      out += '\\';  // Not an escape: it stays as it is.
      out += escape;
    }
  }
  return out;
}

}  // namespace spillway::jinja
