#include <vector>

#include "worker/kernels/matmul.h"

namespace spillway {

void MatMulReference(const PackedMatrix& shape, const std::byte* source, const MatMulInput& input,
                     double* out) {
  const bool integer = InfoOf(shape.format).integer;
  const int64_t row_bytes = SourceRowBytes(shape.format, shape.inputs);
  std::vector<float> weights(static_cast<size_t>(shape.inputs));
  for (int32_t o = 0; o < shape.outputs; ++o) {
    DequantizeRowReference(shape.format, source + o * row_bytes, shape.inputs, weights.data());
    for (int32_t r = 0; r < input.row_count; ++r) {
      double sum = 0;
      for (int32_t i = 0; i < shape.inputs; ++i) {
        double x;
        if (integer) {
          const QuantizedRows& rows = input.quantized;
          const int64_t cell = rows.IndexOf(r, i / kQuantBlock);
          x = double{rows.scales[cell]} * rows.values[cell * kQuantBlock + i % kQuantBlock];
        } else {
          x = input.values[r * input.value_stride + i];
        }
        sum += x * weights[static_cast<size_t>(i)];
      }
      out[int64_t{r} * shape.outputs + o] = sum;
    }
  }
}

}  // namespace spillway
