#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/kernels/activation.h"
#include "worker/kernels/rope_frequencies.h"
#include "worker/model/gguf.h"

namespace spillway {

// A decoder as data: one forward pass (worker/model/decoder.h) serves every row of this table, from
// whatever files it was read. All defaults are neutral: they change nothing.
struct ModelSpec {
  std::string architecture;  // "llama"
  // What clients call the model: ModelNameFromPath() (common/model_name.h), set by whoever opened
  // the file.
  std::string name;

  int32_t layer_count = 0;
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t head_count = 0;
  int32_t kv_head_count = 0;  // head_count is a multiple of it
  int32_t head_size = 0;
  int32_t vocabulary_size = 0;
  int32_t context_tokens_max = 0;
  float rms_norm_epsilon = 0;

  Rope rope;
  // Of local layers, where it differs (Gemma 3); no frequencies: local layers use `rope`.
  Rope local_rope;
  int32_t rope_size = 0;  // of head_size, the leading part that is rotated; even
  enum class RopeLayout { kInterleaved, kHalves };
  // GGUF "llama" files have q and k permuted so that pairs (2i, 2i+1) rotate together; "qwen2" and
  // Hugging Face files rotate (i, i + rope_size/2).
  RopeLayout rope_layout = RopeLayout::kInterleaved;

  // A local layer's query at position p sees positions (p - sliding_window, p]; 0: all layers are
  // global. Mistral, Gemma.
  int32_t sliding_window = 0;
  std::vector<bool> local_layers;  // [layer_count], or empty: none is local

  bool tied_embeddings = false;  // the head is the embedding table
  // Biases that the files must have; those that a GGUF file has beyond these are added as well.
  bool qkv_bias = false;               // of the q, k and v projections
  bool attention_output_bias = false;  // of the attention's output projection
  bool ffn_bias = false;               // of the feed-forward layer's three matrices
  bool qk_norm = false;                // each head of q and k passes an RMS norm before rope
  bool post_norms = false;  // attention's and the feed-forward's outputs pass an RMS norm, too
  float norm_offset = 0;  // added to every norm's weights at load: 1 for Gemma's Hugging Face files
  float embedding_scale = 1;
  float attention_scale = 0;     // of query·key; 0: 1 / sqrt(head_size)
  float attention_soft_cap = 0;  // c: scores become c * tanh(score / c); 0: none
  float logit_soft_cap = 0;
  using Activation = GateActivation;
  Activation activation = Activation::kSilu;

  bool IsLocal(int32_t layer) const {
    return !local_layers.empty() && local_layers[static_cast<size_t>(layer)];
  }
};

// Far above the largest models published, far below what overflows an int32.
struct ModelSpecLimits {
  static constexpr int32_t kLayersMax = 512;
  static constexpr int32_t kHiddenSizeMax = 65'536;
  static constexpr int32_t kIntermediateSizeMax = 262'144;
  static constexpr int32_t kHeadsMax = 512;
  static constexpr int32_t kHeadSizeMax = 256;  // what the attention kernels hold on their stack
  static constexpr int32_t kVocabularyMax = 1 << 20;
  static constexpr int32_t kContextTokensMax = 1 << 24;
};

// Reads and checks a GGUF file's hyper-parameters. UNIMPLEMENTED names an architecture or a variant
// (rope scaling…) that we can't run; INVALID_ARGUMENT names a bad or missing value.
// Tensors are looked at only where they decide something: the embedding table and the head.
absl::StatusOr<ModelSpec> ModelSpecFromGguf(const GgufFile& file);

}  // namespace spillway
