#pragma once

#include <cstdint>

namespace spillway {

// out[i] = e^x[i], for `count` values, a multiple of 16; the arithmetic is lane_math.inc's. Softmax
// and silu use it inside their operators; on its own it is for tests.
using ExpKernel = void (*)(const float* x, int32_t count, float* out);

}  // namespace spillway
