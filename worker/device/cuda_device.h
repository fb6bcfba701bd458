#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace spillway {

// One GPU as the CUDA runtime describes it.
struct CudaDevice {
  int32_t index = 0;
  std::string name;           // "NVIDIA H200"
  int32_t compute_major = 0;  // compute capability 9.0 is sm_90
  int32_t compute_minor = 0;
  int32_t multiprocessors = 0;
  int32_t shared_bytes_max = 0;  // shared memory of one block, after opting in
  int64_t l2_bytes = 0;
  int64_t memory_bytes = 0;
  // 0 where the driver doesn't tell; from its clock and bus width, so a nominal figure.
  double memory_bytes_per_second = 0;
};

// Versions as CUDA counts them: 13000 is 13.0.
struct CudaVersions {
  int32_t driver = 0;  // the newest runtime that the driver serves
  int32_t runtime = 0;
};

// All GPUs. NOT_FOUND, with the reason, when there is no driver, one too old, or no device: the
// caller goes on with the CPU.
absl::StatusOr<std::vector<CudaDevice>> ListCudaDevices();

CudaVersions GetCudaVersions();

// Makes this thread's later CUDA calls go to device `index`.
absl::Status UseCudaDevice(int32_t index);

struct CudaMemory {
  int64_t free_bytes = 0;
  int64_t total_bytes = 0;
};
// Of this thread's device, all processes counted.
absl::StatusOr<CudaMemory> GetCudaMemory();

}  // namespace spillway
