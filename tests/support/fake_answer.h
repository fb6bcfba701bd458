#pragma once

#include <cstdint>
#include <string>

namespace spillway {

// The text of token `index` of the answer that fake and simulated workers give for `seed`; and of
// all its first `tokens` tokens.
inline std::string FakeTokenText(uint64_t seed, int32_t index) {
  const uint64_t mixed =
      (seed + 1) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(index) * 0x94d049bb133111ebu;
  return std::string(1 + (mixed >> 40) % 3, static_cast<char>('a' + (mixed >> 20) % 26));
}

inline std::string FakeAnswer(uint64_t seed, int32_t tokens) {
  std::string text;
  for (int32_t i = 0; i < tokens; ++i) text += FakeTokenText(seed, i);
  return text;
}

}  // namespace spillway
