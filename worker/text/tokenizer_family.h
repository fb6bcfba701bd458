#pragma once

#include "absl/status/status.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// GGUF files name their pre-tokenizer (tokenizer.ggml.pre) and don't describe it. This sets what
// the models of that name have in their tokenizer.json: normalizers, pre-tokenizers, ignore_merges,
// and, where a later step cuts the bytes' characters or the tokens are plain text, the kind, and
// for the former the decoder. Steps that the spec already has stay in front.
//
// UNIMPLEMENTED names the unknown family and the known.
absl::Status ApplyTokenizerFamily(TokenizerSpec& spec);

}  // namespace spillway
