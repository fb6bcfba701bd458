#include <cmath>
#include <numbers>

#include "worker/kernels/gelu.h"

namespace spillway {

void GeluReference(int32_t count, float* x) {
  for (int32_t i = 0; i < count; ++i) {
    const double value = x[i];
    x[i] = static_cast<float>(0.5 * value * (1 + std::erf(value / std::numbers::sqrt2)));
  }
}

}  // namespace spillway
