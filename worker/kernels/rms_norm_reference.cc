#include <cmath>

#include "worker/kernels/rms_norm.h"

namespace spillway {

void RmsNormReference(const float* x, const float* weight, int32_t columns, float epsilon,
                      float* out) {
  double squares = 0;
  for (int32_t i = 0; i < columns; ++i) squares += double{x[i]} * x[i];
  const double scale = 1 / std::sqrt(squares / columns + epsilon);
  for (int32_t i = 0; i < columns; ++i) out[i] = static_cast<float>(x[i] * scale * weight[i]);
}

}  // namespace spillway
