#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "worker/device/host_buffer.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/model/encoder_spec.h"
#include "worker/model/model_tensor.h"

namespace spillway {

// Vectors have zeros after their last element, up to a multiple of 16.
struct EncoderLayerWeights {
  PackedMatrix query, key, value, output;                            // [hidden, hidden]
  std::vector<float> query_bias, key_bias, value_bias, output_bias;  // [hidden]
  std::vector<float> attention_norm, attention_norm_bias;            // [hidden]
  PackedMatrix up;                                                   // [intermediate, hidden]
  std::vector<float> up_bias;                                        // [intermediate]
  PackedMatrix down;                                                 // [hidden, intermediate]
  std::vector<float> down_bias, norm, norm_bias;                     // [hidden]
};

// An encoder's weights as the CPU kernels want them. Nothing refers to the files.
class EncoderWeights {
 public:
  // By GGUF's names of a bert's tensors. Errors as WeightPacker's.
  static absl::StatusOr<EncoderWeights> Load(const EncoderSpec& spec, const TensorSource& tensors,
                                             ThreadTeam& team);

  const PackedMatrix& words() const { return words_; }  // [vocabulary, hidden]
  // What each position adds, with the first token type's vector: [positions, hidden], rows padded
  // like vectors.
  const std::vector<float>& positions() const { return positions_; }
  const std::vector<float>& norm() const { return norm_; }            // [hidden]
  const std::vector<float>& norm_bias() const { return norm_bias_; }  // [hidden]
  const std::vector<EncoderLayerWeights>& layers() const { return layers_; }

 private:
  HostBuffer memory_;
  PackedMatrix words_;
  std::vector<float> positions_, norm_, norm_bias_;
  std::vector<EncoderLayerWeights> layers_;
};

}  // namespace spillway
