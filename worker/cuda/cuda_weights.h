#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/cuda/cuda_dimensions.h"
#include "worker/device/device_buffer.h"
#include "worker/kernels/half.h"
#include "worker/kernels/quantized_linear_cuda.h"
#include "worker/model/decoder_tensors.h"
#include "worker/model/model_spec.h"

namespace spillway {

// A weight matrix on the device: of 16-bit values, or as the model's file quantised it.
struct CudaMatrix {
  int32_t outputs = 0;
  int32_t inputs = 0;
  const uint16_t* halves = nullptr;  // [outputs, inputs]; nullptr: `quantized` has them
  QuantizedMatrixCuda quantized;
};

// Matrices of one input whose outputs lie side by side in a row: queries, keys and values; gate and
// up. Those of one format are one matrix.
struct CudaMatrixGroup {
  struct Part {
    CudaMatrix matrix;
    int32_t first_output = 0;
  };
  std::vector<Part> parts;
  int32_t outputs = 0;  // of all
  int32_t inputs = 0;
};

// Device pointers; vectors are f32 and nullptr where the model has none.
struct CudaLayerWeights {
  const float* attention_norm = nullptr;  // [hidden]
  CudaMatrixGroup qkv;                    // [qkv_size, hidden]
  const float* qkv_bias = nullptr;        // [qkv_size]
  const float* query_norm = nullptr;      // [head_size]
  const float* key_norm = nullptr;        // [head_size]
  CudaMatrixGroup output;                 // [hidden, query_size]
  const float* output_bias = nullptr;     // [hidden]
  const float* attention_post_norm = nullptr;

  const float* ffn_norm = nullptr;      // [hidden]
  CudaMatrixGroup gate_up;              // [2 * intermediate, hidden]
  const float* gate_up_bias = nullptr;  // [2 * intermediate]
  CudaMatrixGroup down;                 // [hidden, intermediate]
  const float* down_bias = nullptr;     // [hidden]
  const float* ffn_post_norm = nullptr;
};

// A model's weights on the device, in the sizes of CudaDimensions.
//
// Matrices of the formats that the kernels read stay quantised. All others, and those whose sizes
// need padding, become 16-bit: F16 where the files are F16 and the activations are known to fit it,
// else BF16, whose range is f32's.
class CudaWeights {
 public:
  // What Load() takes on the device.
  static int64_t BytesFor(const ModelSpec& spec, const DecoderTensors& tensors,
                          const CudaDimensions& dimensions);

  // Copies from the model's files through page-locked memory; nothing refers to them afterwards.
  // RESOURCE_EXHAUSTED: the device has no room. INTERNAL: the device failed.
  static absl::StatusOr<CudaWeights> Load(const ModelSpec& spec, const DecoderTensors& tensors,
                                          const CudaDimensions& dimensions);

  // Of all activations, keys and values, too.
  HalfType type() const { return type_; }
  const CudaMatrix& embedding() const { return embedding_; }  // [vocabulary or more, hidden]
  const CudaMatrixGroup& head() const { return head_; }       // [dimensions.vocabulary, hidden]
  const float* output_norm() const { return output_norm_; }
  const std::vector<CudaLayerWeights>& layers() const { return layers_; }
  int64_t bytes() const { return memory_.bytes(); }

 private:
  class Loader;

  DeviceBuffer<std::byte> memory_;
  HalfType type_ = HalfType::kBf16;
  CudaMatrix embedding_;
  CudaMatrixGroup head_;
  const float* output_norm_ = nullptr;
  std::vector<CudaLayerWeights> layers_;
};

}  // namespace spillway
