#include "server/dialects/json_escape.h"

#include <cstddef>
#include <cstdint>

namespace spillway {
namespace {

void AppendControl(std::string& out, uint8_t c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kDigits[c >> 4];
      out += kDigits[c & 15];
  }
}

}  // namespace

size_t Utf8CharacterBytes(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto in = [&](size_t i, uint8_t low, uint8_t high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return in(1, 0x80, 0xbf) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : 0xbf;
    return in(1, low, high) && in(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    return in(1, low, high) && in(2, 0x80, 0xbf) && in(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

std::string_view WholeCharacters(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > bytes_max - 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

void AppendJsonEscaped(std::string& out, std::string_view text) {
  size_t run = 0;  // [run, i) can be copied as it is
  size_t i = 0;
  const auto flush = [&] { out.append(text, run, i - run); };
  while (i < text.size()) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (c >= 0x80) {
      const size_t bytes = Utf8CharacterBytes(text.substr(i));
      if (bytes > 0) {
        i += bytes;
        continue;
      }
      flush();
      out += "\xef\xbf\xbd";
    } else if (c == '"' || c == '\\') {
      flush();
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      flush();
      AppendControl(out, c);
    } else {
      ++i;
      continue;
    }
    run = ++i;
  }
  flush();
}

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  AppendJsonEscaped(out, text);
  out += '"';
}

}  // namespace spillway
