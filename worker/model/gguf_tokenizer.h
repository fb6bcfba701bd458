#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/gguf.h"
#include "worker/text/chat_templates.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// The vocabulary of a GGUF file. INVALID_ARGUMENT, NOT_FOUND: what is wrong or missing, by key.
// UNIMPLEMENTED: a tokenizer.ggml.model that we can't run, and those that we can.
//
// User-defined tokens that look like <|…|> are control tokens (worker/text/control_marker.h).
// `end_of_text` is sorted: eos, eot and eom as the file has them, and the control tokens whose text
// is a known end of a turn (files often name one of several).
absl::StatusOr<TokenizerSpec> TokenizerSpecFromGguf(const GgufFile& file);

// The default one from tokenizer.chat_template, and those that tokenizer.chat_templates names, as
// gguf-py writes them; may be none. INVALID_ARGUMENT: one is no string or over 1 MiB, or there are
// over 64. NOT_FOUND: one that is named isn't there.
absl::StatusOr<std::vector<NamedTemplate>> ChatTemplatesFromGguf(const GgufFile& file);

}  // namespace spillway
