#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/rms_norm_cuda.h"

namespace spillway {
namespace {

constexpr int kThreads = 256;

// One block per row. A thread keeps kChunks groups of 8 columns in registers between the two passes
// over the row, so that the residual is read once.
template <HalfType kType, int kChunks>
__global__ __launch_bounds__(kThreads) void RmsNormKernel(RmsNormRows rows) {
  __shared__ float shared[kThreads / kWarpSize];
  const int64_t begin = int64_t{blockIdx.x} * rows.columns;
  float values[kChunks][8];
  float squares = 0;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int column = (chunk * kThreads + static_cast<int>(threadIdx.x)) * 8;
    if (column >= rows.columns) break;
    float4* const residual = reinterpret_cast<float4*>(rows.residual + begin + column);
    const float4 low = residual[0];
    const float4 high = residual[1];
    float(&x)[8] = values[chunk];
    x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
    x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
    if (rows.delta != nullptr) {
      float delta[8];
      UnpackEight<kType>(Load16(rows.delta + begin + column), delta);
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] += delta[i];
      residual[0] = {x[0], x[1], x[2], x[3]};
      residual[1] = {x[4], x[5], x[6], x[7]};
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) squares = fmaf(x[i], x[i], squares);
  }

  const float mean = BlockSum<kThreads>(squares, shared) / static_cast<float>(rows.columns);
  const float scale = 1.0f / sqrtf(mean + rows.epsilon);

#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int column = (chunk * kThreads + static_cast<int>(threadIdx.x)) * 8;
    if (column >= rows.columns) break;
    float out[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = values[chunk][i] * scale * rows.weight[column + i];
    *reinterpret_cast<uint4*>(rows.out + begin + column) = PackEight<kType>(out);
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
