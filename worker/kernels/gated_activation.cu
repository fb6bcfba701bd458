#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/gated_activation_cuda.h"

namespace spillway {
namespace {

constexpr int kThreads = 256;

template <GateActivation kActivation>
__device__ __forceinline__ float Activate(float x) {
  // Both e^ overflow to infinity far from zero, which makes the quotients the right ones.
  if constexpr (kActivation == GateActivation::kSilu) {
    return x / (1.0f + __expf(-x));
  } else {
    // (1 + tanh(y)) / 2 = 1 / (1 + e^-2y)
    const float y = 0.7978845608028654f * fmaf(0.044715f * x * x, x, x);
    return x / (1.0f + __expf(-2.0f * y));
  }
}

template <HalfType kType, GateActivation kActivation>
__global__ __launch_bounds__(kThreads) void GatedActivationKernel(GatedRows rows) {
  const int64_t row = blockIdx.y;
  const int column = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) * 8;
  if (column >= rows.columns) return;
  const uint16_t* const gates = rows.gate_up + row * 2 * rows.columns + column;
  float gate[8];
  float up[8];
  UnpackEight<kType>(Load16(gates), gate);
  UnpackEight<kType>(Load16(gates + rows.columns), up);
  if (rows.bias != nullptr) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      gate[i] += rows.bias[column + i];
      up[i] += rows.bias[rows.columns + column + i];
    }
  }
  float out[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = Activate<kActivation>(gate[i]) * up[i];
  *reinterpret_cast<uint4*>(rows.out + row * rows.columns + column) = PackEight<kType>(out);
}

template <HalfType kType>
void Launch(const Stream& stream, const GatedRows& rows) {
  const dim3 grid(static_cast<unsigned>((rows.columns / 8 + kThreads - 1) / kThreads),
                  static_cast<unsigned>(rows.rows));
  if (rows.activation == GateActivation::kSilu) {
    GatedActivationKernel<kType, GateActivation::kSilu>
        <<<grid, kThreads, 0, stream.handle()>>>(rows);
  } else {
    GatedActivationKernel<kType, GateActivation::kGeluTanh>
        <<<grid, kThreads, 0, stream.handle()>>>(rows);
  }
}

}  // namespace

absl::Status GatedActivationCuda(const Stream& stream, const GatedRows& rows) {
  CHECK(rows.columns % 8 == 0 && rows.rows <= 65535);
  if (rows.rows == 0) return absl::OkStatus();
  if (rows.type == HalfType::kF16) {
    Launch<HalfType::kF16>(stream, rows);
  } else {
    Launch<HalfType::kBf16>(stream, rows);
  }
  return LaunchStatus("gated_activation", {rows.rows, rows.columns});
}

}  // namespace spillway
