#include "worker/kernels/linear_cuda.h"

namespace spillway {

void LinearReference(const Linear& linear) {
  for (int64_t row = 0; row < linear.rows; ++row) {
    const uint16_t* const x = linear.x + row * linear.inputs;
    for (int64_t output = 0; output < linear.outputs; ++output) {
      const uint16_t* const weight = linear.weight + output * linear.inputs;
      double sum = 0;
      for (int32_t i = 0; i < linear.inputs; ++i) {
        sum += double{ToFloat(linear.type, x[i])} * ToFloat(linear.type, weight[i]);
      }
      const int64_t at = linear.OutputAt(row, output);
      if (linear.out != nullptr) {
        linear.out[at] = FromFloat(linear.type, static_cast<float>(sum));
      } else {
        linear.out_f32[at] = static_cast<float>(sum);
      }
    }
  }
}

}  // namespace spillway
