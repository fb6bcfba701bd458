#pragma once

#include <cstdint>
#include <vector>

#include "worker/kernels/rope_frequencies.h"

namespace spillway {

// cos and sin of the rotations at `position`, times the magnitude: [2, rope_size / 2] f32, computed
// in double.
void RopeAngles(const Rope& rope, int32_t position, float* angles);

// The same for positions from 0 on: [positions, 2, rope_size / 2].
std::vector<float> MakeRopeTable(int32_t positions, const Rope& rope);

// Rotates one head's leading rope_size values in place; pairs are (i, i + rope_size / 2). `angles`
// are its position's.
//   x[i]        = fma(x[i], cos, -(x[i + half] * sin))
//   x[i + half] = fma(x[i], sin,   x[i + half] * cos)
using RopeKernel = void (*)(const float* angles, int32_t rope_size, float* x);

void RopeReference(const float* angles, int32_t rope_size, float* x);

}  // namespace spillway
