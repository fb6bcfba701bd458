#pragma once

#include <cstdint>

namespace spillway {

// out[i] = x[i] / sqrt(mean(x²) + epsilon) * weight[i] for one row of [columns] f32.
// Requires columns to be a multiple of 16. `out` may be `x`. (https://arxiv.org/abs/1910.07467)
using RmsNormKernel = void (*)(const float* x, const float* weight, int32_t columns, float epsilon,
                               float* out);

void RmsNormReference(const float* x, const float* weight, int32_t columns, float epsilon,
                      float* out);

}  // namespace spillway
