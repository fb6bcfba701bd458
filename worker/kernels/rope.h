#pragma once

#include <cstdint>
#include <vector>

namespace spillway {

// cos and sin of every rotation: [positions, 2, rope_size / 2] f32, computed in double. The angle
// of pair i at position p is p * base^(-2i / rope_size). (https://arxiv.org/abs/2104.09864)
std::vector<float> MakeRopeTable(int32_t positions, int32_t rope_size, double base);

// Rotates one head's leading rope_size values in place; pairs are (i, i + rope_size / 2). `angles`
// is its position's row of the table.
//   x[i]        = fma(x[i], cos, -(x[i + half] * sin))
//   x[i + half] = fma(x[i], sin,   x[i + half] * cos)
using RopeKernel = void (*)(const float* angles, int32_t rope_size, float* x);

void RopeReference(const float* angles, int32_t rope_size, float* x);

}  // namespace spillway
