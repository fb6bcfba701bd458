#include "worker/device/cuda_device.h"

#include <cuda_runtime_api.h>

#include "common/status_macros.h"
#include "worker/device/cuda_status.h"

namespace spillway {
namespace {

absl::StatusOr<CudaDevice> Describe(int32_t index) {
  cudaDeviceProp properties;
  RETURN_IF_ERROR(
      CudaStatus(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties"));
  CudaDevice device = {.index = index,
                       .name = properties.name,
                       .compute_major = properties.major,
                       .compute_minor = properties.minor,
                       .multiprocessors = properties.multiProcessorCount,
                       .shared_bytes_max = static_cast<int32_t>(properties.sharedMemPerBlockOptin),
                       .l2_bytes = properties.l2CacheSize,
                       .memory_bytes = static_cast<int64_t>(properties.totalGlobalMem)};
  int clock_khz = 0;
  if (cudaDeviceGetAttribute(&clock_khz, cudaDevAttrMemoryClockRate, index) == cudaSuccess) {
    // Two transfers a clock: https://docs.nvidia.com/cuda/cuda-c-best-practices-guide §9.2.1.
    device.memory_bytes_per_second = 2.0 * clock_khz * 1e3 * properties.memoryBusWidth / 8;
  }
  return device;
}

}  // namespace

absl::StatusOr<std::vector<CudaDevice>> ListCudaDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();  // the error is told here; a later launch must not report it again
    if (GetCudaVersions().driver == 0) {
      return absl::NotFoundError("no CUDA device: there is no NVIDIA driver");
    }
    return absl::NotFoundError(CudaStatus(error, "no CUDA device").message());
  }
  if (count == 0) return absl::NotFoundError("no CUDA device: the driver lists none");
  std::vector<CudaDevice> devices;
  for (int32_t index = 0; index < count; ++index) {
    ASSIGN_OR_RETURN(CudaDevice device, Describe(index));
    devices.push_back(std::move(device));
  }
  return devices;
}

CudaVersions GetCudaVersions() {
  CudaVersions versions;
  // Both leave 0 where they fail.
  cudaDriverGetVersion(&versions.driver);
  cudaRuntimeGetVersion(&versions.runtime);
  return versions;
}

absl::Status UseCudaDevice(int32_t index) {
  return CudaStatus(cudaSetDevice(index), "cudaSetDevice");
}

absl::StatusOr<CudaMemory> GetCudaMemory() {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  RETURN_IF_ERROR(CudaStatus(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo"));
  return CudaMemory{.free_bytes = static_cast<int64_t>(free_bytes),
                    .total_bytes = static_cast<int64_t>(total_bytes)};
}

}  // namespace spillway
