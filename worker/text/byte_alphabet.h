#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace spillway {

// The alphabet that byte-level BPE vocabularies are written in: each byte has a printable character
// (GPT-2's encoder.py, bytes_to_unicode). Printable bytes stand for themselves, the others for
// U+0100 and up in order.
class ByteAlphabet {
 public:
  ByteAlphabet();

  // UTF-8 of the character for `byte`.
  const std::string& CharacterOf(unsigned char byte) const { return characters_[byte]; }

  // `bytes` as text in the alphabet.
  std::string Encode(std::string_view bytes) const;

  // The bytes that `text` stands for; nothing when it has a character outside the alphabet.
  std::optional<std::string> Decode(std::string_view text) const;

 private:
  static constexpr int kCodePoints = 256 + 68;  // 68 bytes are not printable

  std::array<std::string, 256> characters_;
  std::array<int, kCodePoints> bytes_;  // by code point; -1: not in the alphabet
};

}  // namespace spillway
