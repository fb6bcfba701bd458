#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/text/byte_pair_merger.h"
#include "worker/text/token_lookup.h"
#include "worker/text/token_model.h"

namespace spillway {

// Byte-level byte-pair encoding: a piece's tokens are its bytes', then merged. Bytes that the
// vocabulary lacks are the unknown token or, without one, left out.
class ByteLevelModel : public TokenModel {
 public:
  explicit ByteLevelModel(const TokenizerSpec& spec);
  void Encode(std::string_view piece, std::vector<TokenId>& out) const override;

 private:
  std::array<TokenId, 256> byte_tokens_{};              // -1: the vocabulary lacks that byte
  absl::flat_hash_map<std::string, TokenId> by_bytes_;  // if whole pieces go first
  const TokenId unknown_;
  const bool fuse_unknown_;
  const BytePairMerger merger_;
};

// Byte-pair encoding of characters. A character that the vocabulary lacks is its bytes' tokens
// (byte fallback), or else the unknown token, or else left out.
class CharacterPairModel : public TokenModel {
 public:
  explicit CharacterPairModel(const TokenizerSpec& spec);
  void Encode(std::string_view piece, std::vector<TokenId>& out) const override;

 private:
  const TokenLookup lookup_;
  const ByteTokens byte_tokens_;
  const std::string continuing_prefix_;
  const std::string word_suffix_;
  const bool has_affixes_;
  const TokenId unknown_;
  const bool fuse_unknown_;
  const bool byte_fallback_;
  const bool ignore_merges_;
  const BytePairMerger merger_;
};

}  // namespace spillway
