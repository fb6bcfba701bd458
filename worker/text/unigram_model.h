#pragma once

#include <string_view>
#include <vector>

#include "worker/text/token_lookup.h"
#include "worker/text/token_model.h"
#include "worker/text/token_trie.h"

namespace spillway {

// The unigram language model (Kudo, 2018): of all ways to write a piece as tokens the one with the
// highest sum of scores, by dynamic programming over the places of the piece (tokenizers' Unigram,
// encode_optimized). Characters without a token are unknown, those side by side one token.
// O(n × the longest token).
class UnigramModel : public TokenModel {
 public:
  explicit UnigramModel(const TokenizerSpec& spec);
  void Encode(std::string_view piece, std::vector<TokenId>& out) const override;

 private:
  // The best way to write a piece up to a place.
  struct Best {
    double score = 0;
    int64_t begin = -1;  // of its last token; -1: there is none yet
    TokenId token = -1;  // -1: unknown
  };

  std::vector<Best> FindBest(std::string_view piece) const;
  void AppendUnknown(std::string_view text, std::vector<TokenId>& out) const;

  const TokenLookup lookup_;
  const ByteTokens byte_tokens_;
  const TokenTrie trie_;
  const std::vector<double> scores_;
  double unknown_score_ = 0;
  const TokenId unknown_;
  const bool byte_fallback_;
};

}  // namespace spillway
