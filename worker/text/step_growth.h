#pragma once

#include "absl/status/status.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// INVALID_ARGUMENT: the normalizers, or the decoders, together could make a text more than
// TokenizerLimits::kGrowthMax times as long. Each step of a file may make a text longer (" "
// becomes U+2581), but a few dozen that double it would take all memory.
absl::Status CheckGrowth(const TokenizerSpec& spec);

}  // namespace spillway
