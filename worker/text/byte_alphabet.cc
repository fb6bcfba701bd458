#include "worker/text/byte_alphabet.h"

#include "worker/text/utf8.h"

namespace spillway {
namespace {

bool StandsForItself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

}  // namespace

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t code_point = StandsForItself(byte) ? static_cast<char32_t>(byte) : next++;
    AppendUtf8(code_point, characters_[byte]);
    bytes_[code_point] = byte;
  }
}

std::string ByteAlphabet::Encode(std::string_view bytes) const {
  std::string text;
  for (const char byte : bytes) text += characters_[static_cast<unsigned char>(byte)];
  return text;
}

std::optional<std::string> ByteAlphabet::Decode(std::string_view text) const {
  std::string out;
  while (!text.empty()) {
    const Utf8Character character = FirstUtf8Character(text);
    if (character.kind != Utf8Character::Kind::kWhole) return std::nullopt;
    if (character.code_point >= kCodePoints || bytes_[character.code_point] < 0) {
      return std::nullopt;
    }
    out += static_cast<char>(bytes_[character.code_point]);
    text.remove_prefix(character.size);
  }
  return out;
}

}  // namespace spillway
