#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/model/model_spec.h"
#include "worker/model/model_tensor.h"

namespace spillway {

// A weight matrix [outputs, inputs] in a model's files.
struct MatrixTensor {
  const ModelTensor* tensor = nullptr;  // lives as long as its source
  int32_t outputs = 0;
  int32_t inputs = 0;
  std::vector<int32_t> row_order = {};  // output i is source row row_order[i]; empty: row i

  WeightFormat format() const { return WeightFormatOf(tensor->type); }
  const std::byte* SourceRow(int32_t output) const {
    const int32_t row = row_order.empty() ? output : row_order[static_cast<size_t>(output)];
    return tensor->data.data() + row * SourceRowBytes(format(), inputs);
  }
};

// Vectors have zeros after their last element, up to a multiple of 32, and norms the spec's offset
// added. Those that a model doesn't have are empty; gate_bias and up_bias are both there or
// neither.
struct LayerTensors {
  std::vector<float> attention_norm;                    // [hidden]
  MatrixTensor query;                                   // [heads * head_size, hidden]
  MatrixTensor key;                                     // [kv_heads * head_size, hidden]
  MatrixTensor value;                                   // [kv_heads * head_size, hidden]
  std::vector<float> query_bias, key_bias, value_bias;  // [their outputs]
  std::vector<float> query_norm, key_norm;              // [head_size]
  MatrixTensor output;                                  // [hidden, heads * head_size]
  std::vector<float> output_bias;                       // [hidden]
  std::vector<float> attention_post_norm;               // [hidden]

  std::vector<float> ffn_norm;            // [hidden]
  MatrixTensor gate;                      // [intermediate, hidden]
  MatrixTensor up;                        // [intermediate, hidden]
  std::vector<float> gate_bias, up_bias;  // [intermediate]
  MatrixTensor down;                      // [hidden, intermediate]
  std::vector<float> down_bias;           // [hidden]
  std::vector<float> ffn_post_norm;       // [hidden]
};

// All of a decoder's tensors, found and checked: what each device's weights are made from.
//
// Rows of query and key (and their biases and norms) are put in the order of RopeLayout::kHalves,
// so that the kernels know one layout only; scores don't change when both are reordered alike.
// Biases are taken wherever the files have them.
struct DecoderTensors {
  MatrixTensor embedding;  // [vocabulary, hidden]
  MatrixTensor head;       // the same when tied
  std::vector<float> output_norm;
  std::vector<LayerTensors> layers;

  // INVALID_ARGUMENT: a tensor is missing, or its shape or type is wrong, by name.
  static absl::StatusOr<DecoderTensors> Find(const ModelSpec& spec, const TensorSource& tensors);
};

}  // namespace spillway
