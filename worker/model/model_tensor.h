#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/model/tensor_type.h"

namespace spillway {

struct ModelTensor {
  std::string name;  // as the model's files call it
  TensorType type;
  std::vector<int64_t> dims;        // dims[0] is the contiguous one
  std::span<const std::byte> data;  // exactly the type's size for `dims`; as aligned as the file is
};

// Where a model's tensors come from: a GGUF file, or a Hugging Face folder that answers to the same
// names. Immutable; what it returns lives as long as it does.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // By GGUF's name, nullptr when there is none:
  //   token_embd.weight, output_norm.weight, output.weight unless the head is tied
  //   blk.N. attn_norm, attn_q, attn_k, attn_v, attn_output, ffn_norm, ffn_gate, ffn_up, ffn_down
  //          .weight; attn_q_norm, attn_k_norm where heads are normalised; post_attention_norm,
  //          post_ffw_norm where branches are (Hugging Face's Gemma: post_attention_layernorm,
  //          post_feedforward_layernorm; its pre_feedforward_layernorm is ffn_norm)
  //   blk.N. attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down .bias: each is added
  //          where it exists
  virtual const ModelTensor* FindTensor(std::string_view name) const = 0;

  // Of everything but the tensors' data, and a few bytes of each tensor, hex: names a model
  // cheaply.
  virtual std::string HeaderHash() const = 0;
};

}  // namespace spillway
