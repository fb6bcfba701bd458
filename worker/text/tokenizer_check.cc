#include "worker/text/tokenizer_check.h"

#include <span>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/step_growth.h"

namespace spillway {
namespace {

using Kind = TokenizerSpec::Kind;
using Limits = TokenizerLimits;
using TokenType = TokenizerSpec::TokenType;

absl::Status CheckSize(size_t size, size_t limit, const char* what) {
  if (size <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer: ", size, " ", what, ", the limit is ", limit));
}

absl::Status CheckSizes(const TokenizerSpec& spec) {
  const size_t size = spec.tokens.size();
  if (size == 0 || size > Limits::kVocabularyMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tokenizer: a vocabulary of ", size, " tokens, beyond 1 to ", Limits::kVocabularyMax));
  }
  if (spec.types.size() != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: ", size, " tokens, but ", spec.types.size(), " token types"));
  }
  const bool needs_scores = spec.kind == Kind::kUnigram || spec.kind == Kind::kSentencePieceBpe;
  if (needs_scores && spec.scores.size() != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: ", size, " tokens, but ", spec.scores.size(), " scores"));
  }
  RETURN_IF_ERROR(CheckSize(spec.merges.size(), Limits::kMergesMax, "merges"));
  RETURN_IF_ERROR(CheckSize(spec.normalizers.size(), Limits::kStepsMax, "normalizers"));
  RETURN_IF_ERROR(CheckSize(spec.pre_tokenizers.size(), Limits::kStepsMax, "pre-tokenizers"));
  RETURN_IF_ERROR(CheckSize(spec.decoders.size(), Limits::kStepsMax, "decoders"));
  RETURN_IF_ERROR(CheckSize(spec.prefix.size(), Limits::kTemplateTokensMax, "prefix tokens"));
  return CheckSize(spec.suffix.size(), Limits::kTemplateTokensMax, "suffix tokens");
}

absl::Status CheckTexts(const TokenizerSpec& spec) {
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenType type = spec.types[id];
    const bool is_searched = type == TokenType::kControl || type == TokenType::kUnknown ||
                             type == TokenType::kUserDefined;
    const size_t limit = is_searched ? Limits::kSearchedBytesMax : Limits::kTokenBytesMax;
    if (spec.tokens[id].size() <= limit) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "tokenizer: token ", id, " has ", spec.tokens[id].size(), " bytes, the limit is ", limit));
  }
  return absl::OkStatus();
}

// -1, for none, only if `optional`.
absl::Status CheckId(TokenId id, bool optional, const char* what, size_t size) {
  if (id >= (optional ? -1 : 0) && id < static_cast<int64_t>(size)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer: ", what, " is ", id, ", the vocabulary has ", size, " tokens"));
}

absl::Status CheckIds(std::span<const TokenId> ids, const char* what, size_t size) {
  for (const TokenId id : ids) RETURN_IF_ERROR(CheckId(id, false, what, size));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTokenizerSpec(const TokenizerSpec& spec) {
  RETURN_IF_ERROR(CheckSizes(spec));
  RETURN_IF_ERROR(CheckTexts(spec));
  const size_t size = spec.tokens.size();
  RETURN_IF_ERROR(CheckId(spec.bos, true, "the BOS id", size));
  RETURN_IF_ERROR(CheckId(spec.eos, true, "the EOS id", size));
  RETURN_IF_ERROR(CheckId(spec.unknown, true, "the unknown token's id", size));
  RETURN_IF_ERROR(CheckIds(spec.end_of_text, "an end-of-text id", size));
  RETURN_IF_ERROR(CheckIds(spec.prefix, "a prefix token's id", size));
  RETURN_IF_ERROR(CheckIds(spec.suffix, "a suffix token's id", size));
  for (const AddedToken& token : spec.added) {
    RETURN_IF_ERROR(CheckId(token.id, false, "an added token's id", size));
  }
  for (const MergeRule& merge : spec.merges) {
    const TokenId ids[] = {merge.left, merge.right, merge.merged};
    RETURN_IF_ERROR(CheckIds(ids, "a merge's id", size));
  }
  return CheckGrowth(spec);
}

}  // namespace spillway
