#include <cmath>

#include "worker/kernels/soft_cap_cuda.h"

namespace spillway {

void SoftCapReference(float cap, int64_t count, float* x) {
  for (int64_t i = 0; i < count; ++i) {
    x[i] = static_cast<float>(cap * std::tanh(double{x[i]} / cap));
  }
}

}  // namespace spillway
