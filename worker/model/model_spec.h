#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/gguf.h"

namespace spillway {

// A decoder as data: one forward pass (worker/model/decoder.h) serves every row of this table.
struct ModelSpec {
  std::string architecture;  // "llama"
  std::string name;          // as the file calls it, lower case, dashes: "smollm2-135m-instruct"

  int32_t layer_count = 0;
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t head_count = 0;
  int32_t kv_head_count = 0;  // head_count is a multiple of it
  int32_t head_size = 0;
  int32_t vocabulary_size = 0;
  int32_t context_tokens_max = 0;
  float rms_norm_epsilon = 0;
  float rope_base = 0;
  int32_t rope_size = 0;            // of head_size, the leading part that is rotated
  enum class RopeLayout { kInterleaved, kHalves };
  // GGUF "llama" files have q and k permuted so that pairs (2i, 2i+1) rotate together; "qwen2" and
  // Hugging Face files rotate (i, i + rope_size/2).
  RopeLayout rope_layout = RopeLayout::kInterleaved;
  bool tied_embeddings = false;  // the head is the embedding table
};

// Reads and checks a GGUF file's hyper-parameters. UNIMPLEMENTED names an architecture or a variant
// (rope scaling…) that we can't run; INVALID_ARGUMENT names a bad or missing value.
absl::StatusOr<ModelSpec> ModelSpecFromGguf(const GgufFile& file);

}  // namespace spillway
