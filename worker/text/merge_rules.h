#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Merges as GGUF files have them: "left right", best first. INVALID_ARGUMENT names a line that is
// not two texts, or a text (theirs together, too) that is none of `tokens`.
absl::StatusOr<std::vector<MergeRule>> MergeRulesFromLines(std::span<const std::string> tokens,
                                                           std::span<const std::string_view> lines);

}  // namespace spillway
