#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"

namespace spillway {

// out = x · weightᵀ: a linear layer over the rows of a step, with f32 accumulation.
struct Linear {
  int32_t rows = 0;
  int32_t outputs = 0;
  int32_t inputs = 0;                // a multiple of 8
  HalfType type = HalfType::kBf16;   // of x, weight and out
  const uint16_t* x = nullptr;       // [rows, inputs]
  const uint16_t* weight = nullptr;  // [outputs, inputs]
  // One of the two; f32 is for logits.
  uint16_t* out = nullptr;   // [rows, outputs]
  float* out_f32 = nullptr;  // [rows, outputs]
  int32_t out_stride = 0;    // from one row of out to the next; 0: outputs

  constexpr int64_t OutputAt(int64_t row, int64_t output) const {
    return row * (out_stride > 0 ? out_stride : outputs) + output;
  }
};

inline constexpr int32_t kGemvRowsMax = 8;

// For 1 to kGemvRowsMax rows, where reading the weights is all the time there is: every weight is
// read once, in 16-byte loads. Device pointers, aligned to 16 bytes.
//
// A row's result doesn't depend on the number of rows: inputs are summed by lane and warp in an
// order that follows from `inputs` alone.
absl::Status GemvCuda(const Stream& stream, const Linear& linear);

// Linear layers of any number of rows: cuBLASLt's (gemm_cublaslt.h), or in tests one that needs no
// library.
class DeviceGemm {
 public:
  virtual ~DeviceGemm() = default;

  // Queues the product. Device pointers, aligned to 16 bytes; inputs, outputs and the stride of out
  // multiples of 8. INTERNAL: the device failed, or there is no way to compute this shape.
  virtual absl::Status Run(const Stream& stream, const Linear& linear) = 0;
};

// The oracle of all linear layers of 16-bit weights, over host pointers: sums in double.
void LinearReference(const Linear& linear);

}  // namespace spillway
