#include "worker/text/utf8.h"

#include "common/check.h"

namespace spillway {
namespace {

// How many bytes a lead byte announces, and the range of the second byte (which is where overlong
// forms, surrogates and numbers beyond U+10FFFF are ruled out).
struct Lead {
  int size = 0;  // 0: no lead byte
  unsigned char second_min = 0x80;
  unsigned char second_max = 0xBF;
};

Lead LeadOf(unsigned char byte) {
  if (byte < 0x80) return {.size = 1};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {.size = 2};
  if (byte == 0xE0) return {.size = 3, .second_min = 0xA0};
  if (byte == 0xED) return {.size = 3, .second_max = 0x9F};
  if (byte < 0xF0) return {.size = 3};
  if (byte == 0xF0) return {.size = 4, .second_min = 0x90};
  if (byte < 0xF4) return {.size = 4};
  if (byte == 0xF4) return {.size = 4, .second_max = 0x8F};
  return {};
}

}  // namespace

Utf8Character FirstUtf8Character(std::string_view bytes) {
  CHECK(!bytes.empty());
  const auto first = static_cast<unsigned char>(bytes[0]);
  const Lead lead = LeadOf(first);
  if (lead.size == 0) return {};
  if (lead.size == 1) return {Utf8Character::Kind::kWhole, 1, first};
  char32_t code_point = first & (0x7Fu >> lead.size);
  for (int i = 1; i < lead.size; ++i) {
    if (static_cast<size_t>(i) == bytes.size()) return {Utf8Character::Kind::kIncomplete, i, 0};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    const unsigned char low = i == 1 ? lead.second_min : 0x80;
    const unsigned char high = i == 1 ? lead.second_max : 0xBF;
    if (byte < low || byte > high) return {Utf8Character::Kind::kBad, i, 0};
    code_point = code_point << 6 | (byte & 0x3Fu);
  }
  return {Utf8Character::Kind::kWhole, lead.size, code_point};
}

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Utf8Character character = FirstUtf8Character(bytes);
    if (character.kind != Utf8Character::Kind::kWhole) return false;
    bytes.remove_prefix(character.size);
  }
  return true;
}

void AppendUtf8(char32_t code_point, std::string& out) {
  CHECK(code_point <= 0x10FFFF);
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
    return;
  }
  const int size = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
  const unsigned lead = 0xF00u >> size & 0xFFu;
  out += static_cast<char>(lead | code_point >> (6 * (size - 1)));
  for (int i = size - 2; i >= 0; --i) {
    out += static_cast<char>(0x80u | (code_point >> (6 * i) & 0x3Fu));
  }
}

std::string ReplaceBadUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Character character = FirstUtf8Character(bytes);
    const bool whole = character.kind == Utf8Character::Kind::kWhole;
    out += whole ? bytes.substr(0, character.size) : kReplacementCharacter;
    bytes.remove_prefix(character.size);
  }
  return out;
}

}  // namespace spillway
