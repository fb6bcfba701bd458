#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/linear_cuda.h"

// A block of kWarps warps computes kOutputs outputs for all rows. Its warps take turns over the
// inputs, 256 at a time (8 for each lane), so that a small matrix, too, keeps every
// multiprocessor's loads in flight; their sums meet in shared memory.

namespace spillway {
namespace {

constexpr int kLaneInputs = 8;
constexpr int kWarpInputs = kLaneInputs * kWarpSize;

__device__ __forceinline__ float Dot8(const float (&weight)[8], const float (&x)[8], float sum) {
#pragma unroll
  for (int i = 0; i < 8; ++i) sum = fmaf(weight[i], x[i], sum);
  return sum;
}

template <HalfType kType>
__device__ __forceinline__ void Store(const Linear& linear, int64_t at, float value) {
  if (linear.out != nullptr) {
    linear.out[at] = StoreHalf<kType>(value);
  } else {
    linear.out_f32[at] = value;
  }
}

// kRows is linear.rows rounded up to a power of two; the rows beyond the last repeat it.
// kUnroll steps of weights are asked for before the first is used.
template <HalfType kType, int kRows, int kOutputs, int kWarps, int kUnroll>
__global__ __launch_bounds__(kWarps* kWarpSize) void GemvKernel(Linear linear) {
  constexpr int kSums = kRows * kOutputs;
  constexpr int kStep = kWarps * kWarpInputs;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int output_begin = static_cast<int>(blockIdx.x) * kOutputs;

  const uint16_t* weights[kOutputs];
#pragma unroll
  for (int o = 0; o < kOutputs; ++o) {
    // Outputs beyond the last repeat it, too: nothing is read out of bounds.
    const int output = min(output_begin + o, linear.outputs - 1);
    weights[o] = linear.weight + static_cast<int64_t>(output) * linear.inputs;
  }

  float sums[kSums] = {};
  for (int begin = warp * kWarpInputs + lane * kLaneInputs; begin < linear.inputs;
       begin += kStep * kUnroll) {
    uint4 packed[kUnroll][kOutputs];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int input = begin + u * kStep;
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) {
        if (input < linear.inputs) packed[u][o] = LoadStreaming16(weights[o] + input);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int input = begin + u * kStep;
      if (input >= linear.inputs) break;
      float weight[kOutputs][8];
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) UnpackEight<kType>(packed[u][o], weight[o]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = min(r, linear.rows - 1);
        float x[8];
        UnpackEight<kType>(Load16(linear.x + row * linear.inputs + input), x);
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
          sums[r * kOutputs + o] = Dot8(weight[o], x, sums[r * kOutputs + o]);
        }
      }
    }
  }

  const float sum = BlockSumMany<kWarps>(sums);
  const int index = static_cast<int>(threadIdx.x);
  if (index >= kSums) return;
  const int row = index / kOutputs;
  const int output = output_begin + index % kOutputs;
  if (row < linear.rows && output < linear.outputs) {
    Store<kType>(linear, linear.OutputAt(row, output), sum);
  }
}

template <HalfType kType, int kRows, int kOutputs, int kUnroll>
void LaunchGemvRows(const Stream& stream, const Linear& linear) {
  const unsigned blocks = static_cast<unsigned>((linear.outputs + kOutputs - 1) / kOutputs);
  // The number of warps decides the order of the sum: it depends on `inputs` alone. Each lane
  // should have two loads or more of every output.
  if (linear.inputs <= 1024) {
    GemvKernel<kType, kRows, kOutputs, 2, kUnroll>
        <<<blocks, 2 * kWarpSize, 0, stream.handle()>>>(linear);
  } else if (linear.inputs <= 4096) {
    GemvKernel<kType, kRows, kOutputs, 4, kUnroll>
        <<<blocks, 4 * kWarpSize, 0, stream.handle()>>>(linear);
  } else {
    GemvKernel<kType, kRows, kOutputs, 8, kUnroll>
        <<<blocks, 8 * kWarpSize, 0, stream.handle()>>>(linear);
  }
}

// More rows share more outputs' weights in registers, since each read of x then serves more sums.
template <HalfType kType>
void LaunchGemv(const Stream& stream, const Linear& linear) {
  if (linear.rows == 1) {
    LaunchGemvRows<kType, 1, 2, 4>(stream, linear);
  } else if (linear.rows == 2) {
    LaunchGemvRows<kType, 2, 2, 4>(stream, linear);
  } else if (linear.rows <= 4) {
    LaunchGemvRows<kType, 4, 4, 2>(stream, linear);
  } else {
    LaunchGemvRows<kType, 8, 4, 1>(stream, linear);
  }
}

}  // namespace

absl::Status GemvCuda(const Stream& stream, const Linear& linear) {
  CHECK(linear.rows <= kGemvRowsMax && linear.inputs % kLaneInputs == 0);
  CHECK((linear.out == nullptr) != (linear.out_f32 == nullptr));
  if (linear.rows == 0) return absl::OkStatus();
  if (linear.type == HalfType::kF16) {
    LaunchGemv<HalfType::kF16>(stream, linear);
  } else {
    LaunchGemv<HalfType::kBf16>(stream, linear);
  }
  return LaunchStatus("gemv", {linear.rows, linear.outputs, linear.inputs});
}

}  // namespace spillway
