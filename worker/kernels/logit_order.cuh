#pragma once

// How .cu files compare logits: as unsigned integers, so that one comparison orders logit and
// token.

#include <cstdint>

#include "worker/kernels/cuda_math.cuh"

namespace spillway {

// The logit as it counts: not-a-number as -infinity, +infinity as the largest float.
__device__ __forceinline__ float UsableLogit(float logit) {
  constexpr float kLargestFloat = 3.402823466e+38f;
  return isnan(logit) ? -INFINITY : fminf(logit, kLargestFloat);
}

// Orders floats as unsigned integers; 0 is below all of them but not-a-number.
__device__ __forceinline__ uint32_t KeyOf(float value) {
  const uint32_t bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// The larger choice has the larger logit, of equals the lower token. None is 0.
__device__ __forceinline__ unsigned long long ChoiceOf(float logit, int token) {
  return static_cast<unsigned long long>(KeyOf(logit)) << 32 | ~static_cast<uint32_t>(token);
}
__device__ __forceinline__ int TokenOfChoice(unsigned long long choice) {
  return choice == 0 ? -1 : static_cast<int>(~static_cast<uint32_t>(choice));
}

__device__ __forceinline__ unsigned long long WarpLargest(unsigned long long value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    const unsigned long long other = __shfl_xor_sync(kAllLanes, value, offset);
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace spillway
