#pragma once

#include <cstdint>

namespace spillway {

// out[i] = (x[i] - mean(x)) / sqrt(variance(x) + epsilon) * weight[i] + bias[i] for one row of
// [columns] f32; the variance is that of the row itself. All four have room for columns rounded up
// to 16, and what lies beyond `columns` is zero in `out`. `out` may be `x`.
// (https://arxiv.org/abs/1607.06450)
using LayerNormKernel = void (*)(const float* x, const float* weight, const float* bias,
                                 int32_t columns, float epsilon, float* out);

void LayerNormReference(const float* x, const float* weight, const float* bias, int32_t columns,
                        float epsilon, float* out);

}  // namespace spillway
