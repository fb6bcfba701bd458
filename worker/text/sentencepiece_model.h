#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/text/token_lookup.h"
#include "worker/text/token_model.h"

namespace spillway {

// SentencePiece's byte-pair encoding (bpe_model.cc): of all neighbours that together are a token,
// the pair whose token has the highest score is merged first, the leftmost of equals. A character
// that is no token is its bytes' tokens, or the unknown token. O(n log n).
class SentencePieceModel : public TokenModel {
 public:
  explicit SentencePieceModel(const TokenizerSpec& spec);
  void Encode(std::string_view piece, std::vector<TokenId>& out) const override;

 private:
  struct Token {
    TokenId id = -1;
    float score = 0;
  };
  struct Symbol;
  struct Merge;

  // Of the token that two symbols make together; -1: none.
  Token Find(std::string_view text) const;

  absl::flat_hash_map<std::string, Token> tokens_;
  size_t token_bytes_max_ = 0;
  const ByteTokens byte_tokens_;
  const TokenId unknown_;
};

}  // namespace spillway
