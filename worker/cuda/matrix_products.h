#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "worker/cuda/cuda_weights.h"
#include "worker/device/stream.h"
#include "worker/kernels/linear_cuda.h"

namespace spillway {

// The matrix products of a step, by the kernel that fits weights and rows: for up to kGemvRowsMax
// rows a GEMV, which reads the weights as they are; for more a GEMM, before which quantised weights
// become 16-bit, some megabytes at a time.
//
// One scratch: all calls go to one stream. Owned and called by one thread.
class MatrixProducts {
 public:
  // What products of up to `inputs_max` inputs need of the device, in bytes.
  static int64_t ScratchBytes(int32_t inputs_max);

  // Borrows `gemm`, and `scratch` on the device.
  MatrixProducts(DeviceGemm& gemm, HalfType type, int32_t inputs_max, std::byte* scratch);

  // out[rows, weights.outputs] = x[rows, weights.inputs] · weightsᵀ, either as 16-bit values or as
  // f32, the other being nullptr. More rows than kGemvRowsMax may become ProductRows(rows): x and
  // out have room for as many.
  absl::Status Run(const Stream& stream, const CudaMatrixGroup& weights, const uint16_t* x,
                   int32_t rows, uint16_t* out, float* out_f32);

 private:
  struct Rows;
  absl::Status RunPart(const Stream& stream, const CudaMatrix& matrix, const Rows& rows);
  absl::Status RunDequantized(const Stream& stream, const QuantizedMatrixCuda& matrix,
                              const Rows& rows);

  DeviceGemm& gemm_;
  const HalfType type_;
  int8_t* const quantized_values_;  // [kGemvRowsMax, inputs_max]
  float* const quantized_factors_;  // [kGemvRowsMax, inputs_max / 32, 2]
  uint16_t* const dequantized_;     // kDequantizedValues
};

}  // namespace spillway
