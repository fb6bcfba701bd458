#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/device/host_buffer.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/model/model_spec.h"
#include "worker/model/model_tensor.h"

namespace spillway {

// Vectors have zeros after their last element, up to a multiple of 32. Those that a model doesn't
// have are empty; gate_bias and up_bias are both there or neither.
struct LayerWeights {
  std::vector<float> attention_norm;                    // [hidden]
  PackedMatrix query;                                   // [heads * head_size, hidden]
  PackedMatrix key;                                     // [kv_heads * head_size, hidden]
  PackedMatrix value;                                   // [kv_heads * head_size, hidden]
  std::vector<float> query_bias, key_bias, value_bias;  // [their outputs]
  std::vector<float> query_norm, key_norm;              // [head_size]
  PackedMatrix output;                                  // [hidden, heads * head_size]
  std::vector<float> output_bias;                       // [hidden]
  std::vector<float> attention_post_norm;               // [hidden]

  std::vector<float> ffn_norm;            // [hidden]
  PackedMatrix gate;                      // [intermediate, hidden]
  PackedMatrix up;                        // [intermediate, hidden]
  std::vector<float> gate_bias, up_bias;  // [intermediate]
  PackedMatrix down;                      // [hidden, intermediate]
  std::vector<float> down_bias;           // [hidden]
  std::vector<float> ffn_post_norm;       // [hidden]
};

// A model's weights as the CPU kernels want them: still quantised, packed in panels.
//
// They come from DecoderTensors, which see for their order. Nothing refers to the file.
class ModelWeights {
 public:
  // Packs on all threads of `team`. INVALID_ARGUMENT: a tensor is missing, or its shape or type is
  // wrong, by name. UNIMPLEMENTED: a shape that the kernels can't run as yet.
  static absl::StatusOr<ModelWeights> Load(const ModelSpec& spec, const TensorSource& tensors,
                                           ThreadTeam& team);

  // Bytes of all matrices that Load() would pack. The same errors, before anything is taken.
  static absl::StatusOr<int64_t> BytesFor(const ModelSpec& spec, const TensorSource& tensors);

  const PackedMatrix& embedding() const { return embedding_; }  // [vocabulary, hidden]
  const PackedMatrix& head() const { return head_; }            // the same when tied
  const std::vector<float>& output_norm() const { return output_norm_; }
  const std::vector<LayerWeights>& layers() const { return layers_; }
  int64_t bytes() const { return memory_.bytes(); }  // of all matrices, packed

 private:
  class Loader;

  HostBuffer memory_;
  PackedMatrix embedding_;
  PackedMatrix head_;
  std::vector<float> output_norm_;
  std::vector<LayerWeights> layers_;
};

}  // namespace spillway
