#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"
#include "worker/grammar/token_grammar.h"

namespace spillway {

// A text of a grammar over the byte vocabulary: any allowed byte is as likely as any other, but
// that quotes and brackets, which bring an end closer, are likelier.
inline std::string WalkAtRandom(const std::shared_ptr<const TokenGrammar>& grammar, uint64_t seed,
                                size_t bytes_max = 20'000) {
  std::mt19937_64 random(seed);
  const std::vector<TokenId> ends = {kByteVocabularyEnd};
  TokenMatcher matcher(grammar, ends);
  std::vector<int32_t> mask((kByteVocabularySize + 31) / 32);
  std::string text;
  while (text.size() < bytes_max) {
    matcher.FillMask(mask);
    std::vector<TokenId> allowed;
    for (TokenId token = 0; token < kByteVocabularySize; ++token) {
      if ((mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1) == 0) continue;
      const bool closes = token == '"' || token == ']' || token == '}' || token > 255;
      for (int i = closes ? 40 : 1; i > 0; --i) allowed.push_back(token);
    }
    EXPECT_FALSE(allowed.empty()) << "nothing may follow " << text;
    if (allowed.empty()) return text;
    const TokenId token = allowed[random() % allowed.size()];
    EXPECT_TRUE(matcher.Accept(token));
    if (matcher.ended()) return text;
    text += static_cast<char>(token);
  }
  ADD_FAILURE() << "no end: " << text.substr(0, 200);
  return text;
}

}  // namespace spillway
