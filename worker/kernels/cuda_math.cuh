#pragma once

// What the .cu files share: 16-bit types by HalfType, 16-byte loads, sums over warps and blocks.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "worker/kernels/half.h"

namespace spillway {

inline constexpr int32_t kWarpSize = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffu;

template <HalfType kType>
__device__ __forceinline__ float LoadHalf(uint16_t bits) {
  if constexpr (kType == HalfType::kF16) {
    return __half2float(__ushort_as_half(bits));
  } else {
    return __bfloat162float(__ushort_as_bfloat16(bits));
  }
}

template <HalfType kType>
__device__ __forceinline__ uint16_t StoreHalf(float value) {
  if constexpr (kType == HalfType::kF16) {
    return __half_as_ushort(__float2half_rn(value));
  } else {
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
  }
}

// Two values in one register, the first in the low half.
template <HalfType kType>
__device__ __forceinline__ float2 UnpackPair(uint32_t pair) {
  if constexpr (kType == HalfType::kF16) {
    return __half22float2(*reinterpret_cast<const __half2*>(&pair));
  } else {
    // A bfloat16 is the upper half of a float.
    return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
  }
}

template <HalfType kType>
__device__ __forceinline__ uint32_t PackPair(float low, float high) {
  return StoreHalf<kType>(low) | static_cast<uint32_t>(StoreHalf<kType>(high)) << 16;
}

// Eight values of a 16-byte load.
template <HalfType kType>
__device__ __forceinline__ void UnpackEight(const uint4& packed, float (&values)[8]) {
  const uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = UnpackPair<kType>(words[i]);
    values[2 * i] = pair.x;
    values[2 * i + 1] = pair.y;
  }
}

template <HalfType kType>
__device__ __forceinline__ uint4 PackEight(const float (&values)[8]) {
  return {PackPair<kType>(values[0], values[1]), PackPair<kType>(values[2], values[3]),
          PackPair<kType>(values[4], values[5]), PackPair<kType>(values[6], values[7])};
}

__device__ __forceinline__ uint4 Load16(const void* from) {
  return *static_cast<const uint4*>(from);
}

// For weights: read once, by nobody else, so that they push nothing out of L1.
__device__ __forceinline__ uint4 LoadStreaming16(const void* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

// The sum over the warp, in every lane. One fixed tree.
__device__ __forceinline__ float WarpSum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}

__device__ __forceinline__ float WarpMax(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  }
  return value;
}

// The sum over a block of kThreads threads, in every thread. `shared` has room for a float per warp
// and may be used again after the next __syncthreads().
template <int kThreads>
__device__ __forceinline__ float BlockSum(float value, float* shared) {
  value = WarpSum(value);
  if (threadIdx.x % kWarpSize == 0) shared[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp) sum += shared[warp];
  return sum;
}

// Sums kCount values (a power of two, at most 32) over the warp at once, with kCount - 1 + the
// plain steps of shuffles instead of 5 each. Lane l ends with the sum of value l / (32 / kCount),
// in values[0]. Each sum goes through WarpSum()'s tree whatever kCount is.
template <int kCount>
__device__ __forceinline__ void WarpSumMany(float (&values)[kCount]) {
  static_assert(kCount <= kWarpSize && (kCount & (kCount - 1)) == 0);
  int half = kCount / 2;
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    if (half > 0) {
      const bool upper = (threadIdx.x & offset) != 0;
#pragma unroll
      for (int i = 0; i < kCount / 2; ++i) {
        if (i < half) {
          const float kept = upper ? values[half + i] : values[i];
          const float sent = upper ? values[i] : values[half + i];
          values[i] = kept + __shfl_xor_sync(kAllLanes, sent, offset);
        }
      }
      half /= 2;
    } else {
      values[0] += __shfl_xor_sync(kAllLanes, values[0], offset);
    }
  }
}

// The same over a block of kWarps warps: thread i < kCount returns the sum of value i, whose parts
// are added in the order of the warps. Once a kernel.
template <int kWarps, int kCount>
__device__ __forceinline__ float BlockSumMany(float (&values)[kCount]) {
  __shared__ float shared[kWarps][kCount];
  WarpSumMany<kCount>(values);
  constexpr int kLanesPerSum = kWarpSize / kCount;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (lane % kLanesPerSum == 0) shared[warp][lane / kLanesPerSum] = values[0];
  __syncthreads();
  float sum = 0;
  if (threadIdx.x < kCount) {
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += shared[w][threadIdx.x];
  }
  return sum;
}

}  // namespace spillway
