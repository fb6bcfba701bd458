#pragma once

#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "worker/text/json_fields.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Ids by text.
using TokenIds = absl::flat_hash_map<std::string, TokenId>;

// The member "model" of a tokenizer.json: kind, tokens, their types as far as the model knows them,
// scores, merges and its settings into `spec`; all tokens into `ids`. `byte_level`: its pieces come
// straight from a ByteLevel pre-tokenizer. Returns the number of entries of the vocabulary, which
// is less than spec.tokens' size where ids are left out.
absl::StatusOr<size_t> ReadTokenizerModel(const JsonField& root, bool byte_level,
                                          TokenizerSpec& spec, TokenIds& ids);

}  // namespace spillway
