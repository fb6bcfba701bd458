#include <cmath>

#include "worker/kernels/layer_norm.h"

namespace spillway {

void LayerNormReference(const float* x, const float* weight, const float* bias, int32_t columns,
                        float epsilon, float* out) {
  double sum = 0;
  for (int32_t i = 0; i < columns; ++i) sum += x[i];
  const double mean = sum / columns;
  double squares = 0;
  for (int32_t i = 0; i < columns; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const double scale = 1 / std::sqrt(squares / columns + epsilon);
  for (int32_t i = 0; i < columns; ++i) {
    out[i] = static_cast<float>((x[i] - mean) * scale * weight[i] + bias[i]);
  }
}

}  // namespace spillway
