#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/json_fields.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// The members "normalizer", "pre_tokenizer" and "decoder" of a tokenizer.json as flat lists: a
// Sequence gives its own in order. Missing or null: none. UNIMPLEMENTED names a component that is
// not known, and the known.
absl::StatusOr<std::vector<NormalizerStep>> NormalizersFromJson(const JsonField& root);
absl::StatusOr<std::vector<PreTokenizerStep>> PreTokenizersFromJson(const JsonField& root);
absl::StatusOr<std::vector<DecoderStep>> DecodersFromJson(const JsonField& root);

}  // namespace spillway
