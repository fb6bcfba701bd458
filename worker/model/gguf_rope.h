#pragma once

#include "absl/status/status.h"
#include "worker/model/gguf_keys.h"
#include "worker/model/model_spec.h"

namespace spillway {

// What an architecture's rope is where the file doesn't say.
struct GgufRopeDefaults {
  double base = 1e4;      // RoFormer's, and what llama.cpp assumes
  double local_base = 0;  // of local layers, which are not scaled; 0: they rotate as the others do
  bool factors = false;   // rope_freqs.weight may divide the frequencies
};

// Fills rope and local_rope. Requires rope_size and context_tokens_max.
// Errors as ModelSpecFromGguf().
absl::Status ReadGgufRope(const GgufKeys& keys, const GgufRopeDefaults& defaults, ModelSpec& spec);

}  // namespace spillway
