#pragma once

#include "absl/status/status.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// INVALID_ARGUMENT: sizes that differ, an id out of range, or a text or a count beyond
// TokenizerLimits. Afterwards every id of the spec may be used as an index.
absl::Status CheckTokenizerSpec(const TokenizerSpec& spec);

}  // namespace spillway
