#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "worker/text/tokenizer_spec.h"

namespace spillway {

// A part of a text, from `begin` to `end`, that a pattern matched, or one between matches.
struct SplitPart {
  size_t begin = 0;
  size_t end = 0;
  bool is_match = false;
  bool operator==(const SplitPart&) const = default;
};

// Appends the pieces that `behavior` makes of `parts`, which together are all of `text`, in order.
// (tokenizers' NormalizedString::split.)
void AppendPieces(std::string_view text, const std::vector<SplitPart>& parts,
                  PreTokenizerStep::Behavior behavior, std::vector<std::string_view>& pieces);

}  // namespace spillway
