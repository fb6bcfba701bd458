#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/soft_cap_cuda.h"

namespace spillway {
namespace {

constexpr int kThreads = 256;

__global__ __launch_bounds__(kThreads) void SoftCapKernel(float cap, int64_t count, float* x) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) x[i] = cap * tanhf(x[i] / cap);
}

}  // namespace

absl::Status SoftCapCuda(const Stream& stream, float cap, int64_t count, float* x) {
  CHECK(cap > 0);
  if (count == 0) return absl::OkStatus();
  const auto grid = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  SoftCapKernel<<<grid, kThreads, 0, stream.handle()>>>(cap, count, x);
  return LaunchStatus("soft_cap", {count});
}

}  // namespace spillway
