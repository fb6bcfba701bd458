#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// A text as an encoder reads it.
struct EncodedText {
  std::vector<TokenId> tokens;
  bool truncated = false;
};

// Texts to an encoder's tokens: what the model's files put around a text ([CLS], [SEP]), and what
// becomes of texts that are too long.
//
// As transformers does, and unlike prompts: a special token's text inside a text is that token. An
// encoder has no roles that it could feign.
// Immutable: any thread may use it at once. `tokenizer` outlives it.
class EmbeddingTokenizer {
 public:
  // `prefix` and `suffix` are put around every text. Requires room for a token between them.
  EmbeddingTokenizer(const Tokenizer& tokenizer, std::vector<TokenId> prefix,
                     std::vector<TokenId> suffix, int32_t text_tokens_max);

  // A text that is too long loses its end, but not the suffix, if `truncate`; else
  // INVALID_ARGUMENT with its length and the limit.
  absl::StatusOr<EncodedText> Encode(std::string_view text, bool truncate) const;
  // Tokens as they are; nothing is put around them. INVALID_ARGUMENT: none, or one that is not in
  // the vocabulary.
  absl::StatusOr<EncodedText> Check(std::vector<TokenId> tokens, bool truncate) const;

 private:
  absl::Status TooLong(size_t tokens) const;

  const Tokenizer& tokenizer_;
  const std::vector<TokenId> prefix_;
  const std::vector<TokenId> suffix_;
  const size_t text_tokens_max_;
};

}  // namespace spillway
