#include "worker/model/activations.h"

#include <algorithm>

#include "common/status_macros.h"

namespace spillway {

absl::StatusOr<Activations> Activations::Allocate(int32_t rows_max, int32_t columns, bool quantized,
                                                  bool floats) {
  Activations result;
  result.columns_ = columns;
  result.stride_ = (int64_t{columns} + kQuantBlock - 1) / kQuantBlock * kQuantBlock;
  if (quantized) {
    ASSIGN_OR_RETURN(result.quantized_memory_,
                     HostBuffer::Allocate(QuantizedRows::BytesFor(rows_max, columns)));
    result.quantized_ = QuantizedRows::At(result.quantized_memory_.data(), rows_max, columns);
  }
  if (floats) {
    ASSIGN_OR_RETURN(
        result.float_memory_,
        HostBuffer::Allocate(rows_max * result.stride_ * static_cast<int64_t>(sizeof(float))));
  }
  return result;
}

void Activations::Put(const CpuKernels& kernels, int64_t row, const float* x) {
  if (quantized_.values != nullptr) kernels.quantize_row(x, quantized_, row);
  if (float_memory_.bytes() > 0) {
    std::copy_n(x, columns_, float_memory_.As<float>() + row * stride_);
  }
}

MatMulInput Activations::Input(int32_t row_count) {
  return {.row_count = row_count,
          .quantized = quantized_,
          .values = float_memory_.As<float>(),
          .value_stride = stride_};
}

GatedMatMulOutput Activations::GatedOutput() {
  return {.quantized = quantized_, .values = float_memory_.As<float>(), .stride = stride_};
}

}  // namespace spillway
