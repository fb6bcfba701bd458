#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Turns a piece of normalized text into tokens: the vocabulary proper. Never gives a control token,
// whatever the piece says; an unknown token only for what is unknown. Immutable: any thread may use
// it at once.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the tokens of `piece`, which is not empty.
  virtual void Encode(std::string_view piece, std::vector<TokenId>& out) const = 0;
};

// The model of spec.kind. Requires that sizes and ids were checked (Tokenizer::Create does).
// INVALID_ARGUMENT: a token that is looked for at each place of a text is too long.
absl::StatusOr<std::unique_ptr<const TokenModel>> MakeTokenModel(const TokenizerSpec& spec);

}  // namespace spillway
