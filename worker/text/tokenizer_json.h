#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// The tokenizer of a Hugging Face folder: the text of its tokenizer.json, and of its
// tokenizer_config.json ("" without one).
//
// What the file names is taken as Hugging Face's `tokenizers` 0.23 takes it (ids of added tokens
// included: a token that the model's vocabulary has keeps that id, the others follow the vocabulary
// in order, whatever "id" says), and the config as `transformers` applies it on top: its added and
// special tokens, bos, eos, and add_bos_token/add_eos_token. `truncation` and `padding` are not
// taken: they are a caller's choice, not a text's.
//
// Types: special tokens, those that the post-processor adds, and added ones that look like <|…|> or
// <｜…｜>, whatever the file calls them, are kControl; other added tokens kUserDefined; ids without
// a token kUnused with an empty text. `end_of_text` is sorted: eos, and the control tokens whose
// text is a known end of a turn; a folder's generation_config.json may name more.
//
// INVALID_ARGUMENT says what is wrong and where: no JSON, a missing or mistyped field, an id or a
// count beyond TokenizerLimits. UNIMPLEMENTED names a component that is not known, and the known.
absl::StatusOr<TokenizerSpec> TokenizerSpecFromTokenizerJson(std::string_view json,
                                                             std::string_view config_json = {});

}  // namespace spillway
