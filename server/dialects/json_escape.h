#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace spillway {

// The length of the well-formed UTF-8 character that `text` begins with, 0 if none does
// (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing over U+10FFFF). Requires that
// `text` is not empty.
size_t Utf8CharacterBytes(std::string_view text);

// The longest prefix of at most `bytes_max` bytes, of which there are at least four, that cuts no
// character of well-formed UTF-8.
std::string_view WholeCharacters(std::string_view text, size_t bytes_max);

// Appends `text` as the inside of a JSON string. The result is always valid UTF-8: each byte that
// belongs to no well-formed character becomes U+FFFD. The hot path of every streamed token.
void AppendJsonEscaped(std::string& out, std::string_view text);

// With the quotes.
void AppendJsonString(std::string& out, std::string_view text);

}  // namespace spillway
