#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/rms_norm_cuda.h"

namespace spillway {
namespace {

constexpr int kThreads = 256;

// 8 consecutive values of f32.
__device__ __forceinline__ void LoadEight(const float* from, float (&values)[8]) {
  const float4 low = reinterpret_cast<const float4*>(from)[0];
  const float4 high = reinterpret_cast<const float4*>(from)[1];
  values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
  values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
}

// One block per row. A thread keeps kChunks groups of 8 columns in registers between the passes
// over the row, so that residual and branch are read once.
template <HalfType kType, int kChunks>
__global__ __launch_bounds__(kThreads) void RmsNormKernel(RmsNormRows rows) {
  __shared__ float shared[2][kThreads / kWarpSize];
  const int64_t source = rows.sources != nullptr ? rows.sources[blockIdx.x] : blockIdx.x;
  const int64_t begin = source * rows.columns;
  const int64_t out_begin = int64_t{blockIdx.x} * rows.columns;
  const auto column_of = [](int chunk) {
    return (chunk * kThreads + static_cast<int>(threadIdx.x)) * 8;
  };
  float branch[kChunks][8] = {};
  float branch_scale = 1;
  if (rows.delta != nullptr) {
    float squares = 0;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int column = column_of(chunk);
      if (column >= rows.columns) break;
      UnpackEight<kType>(Load16(rows.delta + begin + column), branch[chunk]);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        if (rows.delta_bias != nullptr) branch[chunk][i] += rows.delta_bias[column + i];
        squares = fmaf(branch[chunk][i], branch[chunk][i], squares);
      }
    }
    if (rows.delta_norm != nullptr) {
      const float mean = BlockSum<kThreads>(squares, shared[1]) / static_cast<float>(rows.columns);
      branch_scale = 1.0f / sqrtf(mean + rows.epsilon);
    }
  }

  float squares = 0;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int column = column_of(chunk);
    if (column >= rows.columns) break;
    float* const residual = rows.residual + begin + column;
    float x[8];
    LoadEight(residual, x);
    float(&sum)[8] = branch[chunk];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (rows.delta_norm != nullptr) sum[i] *= branch_scale * rows.delta_norm[column + i];
      sum[i] += x[i];
      squares = fmaf(sum[i], sum[i], squares);
    }
    if (rows.delta != nullptr && rows.sources == nullptr) {
      reinterpret_cast<float4*>(residual)[0] = {sum[0], sum[1], sum[2], sum[3]};
      reinterpret_cast<float4*>(residual)[1] = {sum[4], sum[5], sum[6], sum[7]};
    }
  }

  const float mean = BlockSum<kThreads>(squares, shared[0]) / static_cast<float>(rows.columns);
  const float scale = 1.0f / sqrtf(mean + rows.epsilon);

#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int column = column_of(chunk);
    if (column >= rows.columns) break;
    float weight[8];
    LoadEight(rows.weight + column, weight);
    float out[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = branch[chunk][i] * scale * weight[i];
    *reinterpret_cast<uint4*>(rows.out + out_begin + column) = PackEight<kType>(out);
  }
}

template <HalfType kType>
void LaunchRmsNorm(const Stream& stream, const RmsNormRows& rows) {
  const dim3 grid(static_cast<unsigned>(rows.rows));
  constexpr int kChunkColumns = kThreads * 8;
  if (rows.columns <= kChunkColumns) {
    RmsNormKernel<kType, 1><<<grid, kThreads, 0, stream.handle()>>>(rows);
  } else if (rows.columns <= 2 * kChunkColumns) {
    RmsNormKernel<kType, 2><<<grid, kThreads, 0, stream.handle()>>>(rows);
  } else if (rows.columns <= 4 * kChunkColumns) {
    RmsNormKernel<kType, 4><<<grid, kThreads, 0, stream.handle()>>>(rows);
  } else {
    RmsNormKernel<kType, 8><<<grid, kThreads, 0, stream.handle()>>>(rows);
  }
}

}  // namespace

absl::Status RmsNormCuda(const Stream& stream, const RmsNormRows& rows) {
  CHECK(rows.columns % 8 == 0 && rows.columns <= kRmsNormColumnsMax);
  if (rows.rows == 0) return absl::OkStatus();
  if (rows.type == HalfType::kF16) {
    LaunchRmsNorm<HalfType::kF16>(stream, rows);
  } else {
    LaunchRmsNorm<HalfType::kBf16>(stream, rows);
  }
  return LaunchStatus("rms_norm", {rows.rows, rows.columns});
}

}  // namespace spillway
