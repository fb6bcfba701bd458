#pragma once

#include <string>
#include <string_view>

namespace spillway {

// Appends `text` as the inside of a JSON string. The result is always valid UTF-8: each byte that
// belongs to no well-formed character becomes U+FFFD. The hot path of every streamed token.
void AppendJsonEscaped(std::string& out, std::string_view text);

// With the quotes.
void AppendJsonString(std::string& out, std::string_view text);

}  // namespace spillway
