#pragma once

#include <cstdint>

namespace spillway {

// What a gated feed-forward layer does to its gate: x / (1 + e^-x), or GELU by its tanh
// (https://arxiv.org/abs/1606.08415): 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
enum class GateActivation { kSilu, kGeluTanh };

// x[i] = cap * tanh(x[i] / cap) in place, for `count` values, a multiple of 16. Requires cap > 0.
using SoftCapKernel = void (*)(float cap, int32_t count, float* x);

// out[i] = e^x[i], for `count` values, a multiple of 16; the arithmetic is lane_math.inc's. Softmax
// and the activations use it inside their operators; on its own it is for tests.
using ExpKernel = void (*)(const float* x, int32_t count, float* out);

}  // namespace spillway
