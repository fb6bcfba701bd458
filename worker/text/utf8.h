#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace spillway {

// What stands at the beginning of a byte string, as the Unicode standard's table 3-7 has it.
struct Utf8Character {
  enum class Kind {
    kWhole,       // `code_point` in `size` bytes
    kIncomplete,  // the first `size` bytes of a character, cut off by the end of the string
    kBad,         // `size` bytes that no continuation makes a character: one U+FFFD, as in Python
  };
  Kind kind = Kind::kBad;
  int size = 1;
  char32_t code_point = 0;
};

// Requires that `bytes` is not empty.
Utf8Character FirstUtf8Character(std::string_view bytes);

bool IsUtf8(std::string_view bytes);

// Requires a code point up to 0x10FFFF.
void AppendUtf8(char32_t code_point, std::string& out);

// Python's bytes.decode(errors="replace"), as UTF-8 again.
std::string ReplaceBadUtf8(std::string_view bytes);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace spillway
