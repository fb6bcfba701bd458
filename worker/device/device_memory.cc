#include "worker/device/device_memory.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/device/cuda_device.h"
#include "worker/device/cuda_status.h"

namespace spillway {
namespace {

absl::Status AllocationStatus(cudaError_t error, DeviceMemory::Place place, int64_t bytes) {
  if (error == cudaSuccess) return absl::OkStatus();
  cudaGetLastError();  // not sticky: what comes next starts clean
  std::string doing =
      absl::StrCat("allocating ", bytes,
                   place == DeviceMemory::Place::kDevice ? " device" : " pinned", " bytes");
  if (place == DeviceMemory::Place::kDevice && error == cudaErrorMemoryAllocation) {
    const absl::StatusOr<CudaMemory> memory = GetCudaMemory();
    if (memory.ok()) {
      absl::StrAppend(&doing, " with ", memory->free_bytes, " of ", memory->total_bytes, " free");
    }
  }
  return CudaStatus(error, doing);
}

}  // namespace

absl::StatusOr<DeviceMemory> DeviceMemory::Allocate(Place place, int64_t bytes) {
  CHECK(bytes >= 0);
  DeviceMemory memory;
  memory.place_ = place;
  if (bytes == 0) return memory;
  void* data = nullptr;
  const cudaError_t error = place == Place::kDevice
                                ? cudaMalloc(&data, static_cast<size_t>(bytes))
                                : cudaMallocHost(&data, static_cast<size_t>(bytes));
  if (error != cudaSuccess) return AllocationStatus(error, place, bytes);
  memory.data_ = static_cast<std::byte*>(data);
  memory.bytes_ = bytes;
  return memory;
}

DeviceMemory::~DeviceMemory() {
  if (data_ == nullptr) return;
  // Fails only where the device already has: nothing is left to be freed then.
  if (place_ == Place::kDevice) {
    cudaFree(data_);
  } else {
    cudaFreeHost(data_);
  }
}

absl::Status CopyAsync(const Stream& stream, void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  return CudaStatus(
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream.handle()),
      "cudaMemcpyAsync");
}

absl::Status FillAsync(const Stream& stream, void* to, uint8_t value, int64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  return CudaStatus(cudaMemsetAsync(to, value, static_cast<size_t>(bytes), stream.handle()),
                    "cudaMemsetAsync");
}

}  // namespace spillway
