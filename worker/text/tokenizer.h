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

// Text to tokens and back, as Hugging Face's tokenizers does it (0.23). Immutable after Create():
// any thread may use it at once.
class Tokenizer {
 public:
  // INVALID_ARGUMENT says what is wrong with the vocabulary: sizes that differ, an id out of range,
  // a text that is too long. UNIMPLEMENTED names an unknown family and the known, or what of a
  // pattern is not known.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(TokenizerSpec spec);
  ~Tokenizer();

  // Normalizes and encodes UTF-8, and bad bytes too, which no normalizer touches. What the
  // vocabulary has no token for becomes the unknown token, or is left out where there is none. With
  // byte-level BPE, or bytes to fall back to, and no normalizer every byte string round-trips but
  // for that (SmolLM2 lacks 21 bytes, all of them control characters or never in UTF-8 but for 0xF1
  // and 0xF2).
  //
  // Control tokens are recognised only where their whole text lies inside one of `trusted` (sorted,
  // disjoint): what a user wrote never becomes one, nor what a normalizer, a merge or the
  // vocabulary makes of it. User-defined tokens (added to the vocabulary, but not special) are
  // recognised everywhere. The longest wins. Never adds prefix() or suffix(). Within all of a text
  // trusted, or none, the ids are those of tokenizers' encode() with add_special_tokens=False (and,
  // for none, encode_special_tokens=True). O(n log n) in the text's length, also without spaces.
  std::vector<TokenId> Encode(std::string_view text, std::span<const TextRange> trusted = {}) const;

  // tokenizers' decode(): UTF-8, bad bytes as U+FFFD, without the space that the first word got.
  // `skip_control`: control tokens are left out. Requires valid ids.
  std::string Decode(std::span<const TokenId> tokens, bool skip_control) const;

  // The bytes that a token adds to a text that it doesn't begin; a control token's own text.
  // Requires a valid id.
  std::string_view TokenBytes(TokenId token) const;

  // Of type kControl or kUnknown. Requires a valid id.
  bool IsControl(TokenId token) const;
  bool IsEndOfText(TokenId token) const;
  std::span<const TokenId> end_of_text() const;
  TokenId bos() const;
  TokenId eos() const;
  bool add_bos() const;
  // What the model's file adds before and after a text that is encoded by itself: bos, or [CLS] and
  // [SEP].
  std::span<const TokenId> prefix() const;
  std::span<const TokenId> suffix() const;
  int32_t vocabulary_size() const;

 private:
  class Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
