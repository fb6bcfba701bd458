#pragma once

#include <cstdint>

namespace spillway {

// x[i] = x[i] * P(X <= x[i]) for a normal X, in place, for `count` values, a multiple of 16: GELU
// itself, by erf (https://arxiv.org/abs/1606.08415), not the tanh that approximates it. Within
// 3e-7 * max(1, |x|).
using GeluKernel = void (*)(int32_t count, float* x);

void GeluReference(int32_t count, float* x);

}  // namespace spillway
