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

// Calls `on_run(begin, run, is_utf8)` for the longest runs of whole characters and of what is none,
// in turn.
template <typename OnRun>
void ForEachUtf8Run(std::string_view bytes, OnRun on_run) {
  size_t begin = 0;
  bool begin_is_utf8 = true;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Character character = FirstUtf8Character(bytes.substr(at));
    const bool is_utf8 = character.kind == Utf8Character::Kind::kWhole;
    if (is_utf8 != begin_is_utf8) {
      if (at > begin) on_run(begin, bytes.substr(begin, at - begin), begin_is_utf8);
      begin = at;
      begin_is_utf8 = is_utf8;
    }
    at += static_cast<size_t>(character.size);
  }
  if (bytes.size() > begin) on_run(begin, bytes.substr(begin), begin_is_utf8);
}

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace spillway
