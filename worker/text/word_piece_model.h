#pragma once

#include <string_view>
#include <vector>

#include "worker/text/token_model.h"
#include "worker/text/token_trie.h"

namespace spillway {

// WordPiece: the longest token that a word begins with, then the longest that goes on, and so on. A
// word that can't be written so to its end, or of more than `word_characters_max` characters, is
// the unknown token. O(n × the longest token).
class WordPieceModel : public TokenModel {
 public:
  explicit WordPieceModel(const TokenizerSpec& spec);
  void Encode(std::string_view piece, std::vector<TokenId>& out) const override;

 private:
  const TokenTrie first_;
  const TokenTrie continuing_;  // without the prefix
  const TokenId unknown_;
  const size_t word_characters_max_;
};

}  // namespace spillway
