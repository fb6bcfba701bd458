#include "worker/text/token_model.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/byte_pair_model.h"
#include "worker/text/sentencepiece_model.h"
#include "worker/text/token_lookup.h"
#include "worker/text/unigram_model.h"
#include "worker/text/word_piece_model.h"

namespace spillway {
namespace {

using Kind = TokenizerSpec::Kind;

// These models look at each place of a text for the longest token.
absl::Status CheckTokenSizes(const TokenizerSpec& spec) {
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const size_t size = spec.tokens[id].size();
    if (size <= TokenizerLimits::kSearchedBytesMax || !IsTextToken(spec.types[id])) continue;
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: token ", id, " has ", size,
                                                   " bytes, the limit is ",
                                                   TokenizerLimits::kSearchedBytesMax));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const TokenModel>> MakeTokenModel(const TokenizerSpec& spec) {
  if (spec.kind == Kind::kByteLevelBpe) return std::make_unique<ByteLevelModel>(spec);
  if (spec.kind == Kind::kBpe) return std::make_unique<CharacterPairModel>(spec);
  RETURN_IF_ERROR(CheckTokenSizes(spec));
  if (spec.kind == Kind::kSentencePieceBpe) return std::make_unique<SentencePieceModel>(spec);
  if (spec.kind == Kind::kUnigram) return std::make_unique<UnigramModel>(spec);
  return std::make_unique<WordPieceModel>(spec);
}

}  // namespace spillway
