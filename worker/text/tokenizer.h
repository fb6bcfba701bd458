#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// A part of a text, in bytes.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

// Text to tokens and back. Immutable after Create(): any thread may use it at once.
class Tokenizer {
 public:
  // INVALID_ARGUMENT says what is wrong with the vocabulary: sizes that differ, an id out of
  // range, a merge of unknown tokens. UNIMPLEMENTED names an unknown pre-tokenizer and the known.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(TokenizerSpec spec);
  ~Tokenizer();

  // Encodes UTF-8, and bad bytes too: every byte string round-trips, but for bytes that the
  // vocabulary has no token for, which are left out as Hugging Face's tokenizers leaves them out
  // (SmolLM2 lacks 21, all of them control characters or never in UTF-8 but for 0xF1 and 0xF2).
  // Control tokens are recognised only where their whole text lies inside one of `trusted` (sorted,
  // disjoint): what a user wrote never becomes one. User-defined tokens (added to the vocabulary,
  // but not special) are recognised everywhere. The longest wins. Never adds BOS. The text is taken
  // as it is: a normalizer of the model's (NFC in Qwen2's tokenizer.json) is not run.
  // O(n log n) in the text's length, also without spaces.
  std::vector<TokenId> Encode(std::string_view text, std::span<const TextRange> trusted = {}) const;

  // The bytes that a token stands for; a control token's own text. Requires a valid id.
  std::string_view TokenBytes(TokenId token) const;

  // Of type kControl or kUnknown. Requires a valid id.
  bool IsControl(TokenId token) const;
  bool IsEndOfText(TokenId token) const;
  std::span<const TokenId> end_of_text() const;
  TokenId bos() const;
  TokenId eos() const;
  bool add_bos() const;
  int32_t vocabulary_size() const;

 private:
  class Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
