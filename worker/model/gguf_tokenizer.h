#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "worker/model/gguf.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// The vocabulary of a GGUF file. INVALID_ARGUMENT, NOT_FOUND: what is wrong or missing, by key.
// UNIMPLEMENTED: a tokenizer.ggml.model that we can't run, and those that we can.
absl::StatusOr<TokenizerSpec> TokenizerSpecFromGguf(const GgufFile& file);

// tokenizer.chat_template, or empty when the file has none.
absl::StatusOr<std::string> ChatTemplateFromGguf(const GgufFile& file);

}  // namespace spillway
