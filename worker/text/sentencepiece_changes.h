#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/text/text_change.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// kPrecompiled: a charsmap as Hugging Face's tokenizers applies it, to graphemes of up to five
// bytes and else to characters, and in either to its shortest entry alone: what else the grapheme
// has is dropped. That is what models converted from SentencePiece were tested with.
// INVALID_ARGUMENT: the charsmap can't be used.
absl::StatusOr<std::unique_ptr<const TextChange>> MakePrecompiledChange(const NormalizerStep& step);

// kSentencePiece: as SentencePiece's own normalizer does it (normalizer.cc, Normalize): the longest
// entry at each place, then the spaces, which become U+2581.
absl::StatusOr<std::unique_ptr<const TextChange>> MakeSentencePieceChange(
    const NormalizerStep& step);

}  // namespace spillway
