#pragma once

#include <cstdint>

namespace spillway {

// out[i] = x[i] / sqrt(mean(x²) + epsilon) * weight[i] for one row of [columns] f32.
// All three have room for columns rounded up to 16; what is beyond `columns` is zero in x, and so
// in `out`, and finite in `weight`. `out` may be `x`. (https://arxiv.org/abs/1910.07467)
using RmsNormKernel = void (*)(const float* x, const float* weight, int32_t columns, float epsilon,
                               float* out);

void RmsNormReference(const float* x, const float* weight, int32_t columns, float epsilon,
                      float* out);

}  // namespace spillway
