#pragma once

#include <array>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "scheduler/types.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Whether text may become this token: it is neither control nor unknown.
bool IsTextToken(TokenizerSpec::TokenType type);

// Ids by text, of tokens that text may become. Of two with the same text the last counts, as in
// tokenizers.
class TokenLookup {
 public:
  explicit TokenLookup(const TokenizerSpec& spec);

  // -1: none.
  TokenId Find(std::string_view text) const;

 private:
  absl::flat_hash_map<std::string, TokenId> ids_;
};

// The tokens <0x00> to <0xFF>.
class ByteTokens {
 public:
  explicit ByteTokens(const TokenizerSpec& spec);

  // Appends the tokens of `bytes`; false, and nothing, if one is missing.
  bool Append(std::string_view bytes, std::vector<TokenId>& out) const;

 private:
  std::array<TokenId, 256> tokens_{};  // -1: missing
};

// The byte that a text like <0x0A> stands for; -1: none.
int ByteOfToken(std::string_view text);

}  // namespace spillway
