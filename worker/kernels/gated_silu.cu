#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/gated_silu_cuda.h"

namespace spillway {
namespace {

constexpr int kThreads = 256;

template <HalfType kType>
__global__ __launch_bounds__(kThreads) void GatedSiluKernel(GatedSiluRows rows) {
  const int64_t row = blockIdx.y;
  const int column = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) * 8;
  if (column >= rows.columns) return;
  const uint16_t* const gates = rows.gate_up + row * 2 * rows.columns + column;
  float gate[8];
  float up[8];
  UnpackEight<kType>(Load16(gates), gate);
  UnpackEight<kType>(Load16(gates + rows.columns), up);
  float out[8];
#pragma unroll
  // e^-x overflows to infinity below -88, which makes the quotient the right -0.
  for (int i = 0; i < 8; ++i) out[i] = gate[i] / (1.0f + __expf(-gate[i])) * up[i];
  *reinterpret_cast<uint4*>(rows.out + row * rows.columns + column) = PackEight<kType>(out);
}

}  // namespace

absl::Status GatedSiluCuda(const Stream& stream, const GatedSiluRows& rows) {
  CHECK(rows.columns % 8 == 0 && rows.rows <= 65535);
  if (rows.rows == 0) return absl::OkStatus();
  const dim3 grid(static_cast<unsigned>((rows.columns / 8 + kThreads - 1) / kThreads),
                  static_cast<unsigned>(rows.rows));
  if (rows.type == HalfType::kF16) {
    GatedSiluKernel<HalfType::kF16><<<grid, kThreads, 0, stream.handle()>>>(rows);
  } else {
    GatedSiluKernel<HalfType::kBf16><<<grid, kThreads, 0, stream.handle()>>>(rows);
  }
  return LaunchStatus("gated_silu", {rows.rows, rows.columns});
}

}  // namespace spillway
