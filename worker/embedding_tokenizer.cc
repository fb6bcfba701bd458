#include "worker/embedding_tokenizer.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {

EmbeddingTokenizer::EmbeddingTokenizer(const Tokenizer& tokenizer, std::vector<TokenId> prefix,
                                       std::vector<TokenId> suffix, int32_t text_tokens_max)
    : tokenizer_(tokenizer),
      prefix_(std::move(prefix)),
      suffix_(std::move(suffix)),
      text_tokens_max_(static_cast<size_t>(text_tokens_max)) {
  CHECK(prefix_.size() + suffix_.size() < text_tokens_max_);
}

absl::Status EmbeddingTokenizer::TooLong(size_t tokens) const {
  return absl::InvalidArgumentError(
      absl::StrCat("the text has ", tokens, " tokens; this model takes ", text_tokens_max_));
}

absl::StatusOr<EncodedText> EmbeddingTokenizer::Encode(std::string_view text, bool truncate) const {
  const TextRange all[] = {{.begin = 0, .end = text.size()}};
  const std::vector<TokenId> tokens = tokenizer_.Encode(text, all);
  const size_t around = prefix_.size() + suffix_.size();
  EncodedText encoded;
  encoded.truncated = tokens.size() + around > text_tokens_max_;
  if (encoded.truncated && !truncate) return TooLong(tokens.size() + around);
  const size_t kept = encoded.truncated ? text_tokens_max_ - around : tokens.size();
  encoded.tokens = prefix_;
  encoded.tokens.insert(encoded.tokens.end(), tokens.begin(),
                        tokens.begin() + static_cast<std::ptrdiff_t>(kept));
  encoded.tokens.insert(encoded.tokens.end(), suffix_.begin(), suffix_.end());
  if (encoded.tokens.empty()) return absl::InvalidArgumentError("the text has no tokens");
  return encoded;
}

absl::StatusOr<EncodedText> EmbeddingTokenizer::Check(std::vector<TokenId> tokens,
                                                      bool truncate) const {
  if (tokens.empty()) return absl::InvalidArgumentError("the text has no tokens");
  for (const TokenId token : tokens) {
    if (token >= 0 && token < tokenizer_.vocabulary_size()) continue;
    return absl::InvalidArgumentError(absl::StrCat("token ", token, " is not in the vocabulary of ",
                                                   tokenizer_.vocabulary_size(), " tokens"));
  }
  EncodedText encoded;
  encoded.truncated = tokens.size() > text_tokens_max_;
  if (encoded.truncated && !truncate) return TooLong(tokens.size());
  if (encoded.truncated) tokens.resize(text_tokens_max_);
  encoded.tokens = std::move(tokens);
  return encoded;
}

}  // namespace spillway
