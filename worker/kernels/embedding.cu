#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/embedding_cuda.h"

namespace spillway {
namespace {

constexpr int kThreads = 128;

template <HalfType kType>
__global__ __launch_bounds__(kThreads) void EmbeddingKernel(EmbeddingRows rows) {
  const int64_t row = blockIdx.x;
  const int64_t token = TokenOf(rows, row);
  const bool known = token >= 0 && token < rows.vocabulary;
  for (int column = static_cast<int>(threadIdx.x) * 8; column < rows.columns;
       column += kThreads * 8) {
    float values[8] = {};
    if (known) UnpackEight<kType>(Load16(rows.table + token * rows.columns + column), values);
    float4* const out = reinterpret_cast<float4*>(rows.residual + row * rows.columns + column);
    out[0] = {rows.scale * values[0], rows.scale * values[1], rows.scale * values[2],
              rows.scale * values[3]};
    out[1] = {rows.scale * values[4], rows.scale * values[5], rows.scale * values[6],
              rows.scale * values[7]};
  }
}

}  // namespace

absl::Status EmbeddingCuda(const Stream& stream, const EmbeddingRows& rows) {
  CHECK(rows.columns % 8 == 0);
  if (rows.rows == 0) return absl::OkStatus();
  const dim3 grid(static_cast<unsigned>(rows.rows));
  if (rows.type == HalfType::kF16) {
    EmbeddingKernel<HalfType::kF16><<<grid, kThreads, 0, stream.handle()>>>(rows);
  } else {
    EmbeddingKernel<HalfType::kBf16><<<grid, kThreads, 0, stream.handle()>>>(rows);
  }
  return LaunchStatus("embedding", {rows.rows, rows.columns});
}

}  // namespace spillway
