#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/executor.h"
#include "worker/model/model_spec.h"
#include "worker/model/model_tensor.h"

namespace spillway {

class DeviceGemm;

struct CudaExecutorOptions {
  int32_t device = 0;  // index, as the CUDA runtime counts
  int32_t running_max = 64;
  int32_t step_tokens_max = 2048;
  int32_t sequence_tokens_max = 0;  // 0: the model's context, or as much of it as fits
  int64_t kv_bytes = 0;             // 0: all that is left
  // How full the device may get, all programs counted: a share of it, unless bytes are given.
  double memory_share = 0.9;
  int64_t memory_bytes = 0;
  std::string cublas_path;  // of libcublasLt; empty: as the loader finds it
  bool graphs = true;       // steps that decode run as CUDA graphs
};

// Loads a model onto a GPU, runs the largest step, and makes what memory is left the KV memory.
// `tensors` may go when this returns.
//
// NOT_FOUND: there is no driver, device, or cuBLASLt; the caller may go on with the CPU.
// UNIMPLEMENTED: this build has no CUDA. INVALID_ARGUMENT: a tensor is missing or of the wrong
// shape or type, by name; an option that the model rules out. UNIMPLEMENTED: a size that the
// kernels lack. RESOURCE_EXHAUSTED: it doesn't fit: what is missing, and which flag helps.
// INTERNAL: the device failed.
absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const ModelSpec& spec,
                                                           const TensorSource& tensors,
                                                           const CudaExecutorOptions& options);

// The same with products of more than a few rows left to `gemm`, named `gemm_name` in
// numerics_id().
absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutorWith(std::unique_ptr<DeviceGemm> gemm,
                                                               const std::string& gemm_name,
                                                               const ModelSpec& spec,
                                                               const TensorSource& tensors,
                                                               const CudaExecutorOptions& options);

// OK where MakeCudaExecutor() would find device and library. NOT_FOUND and UNIMPLEMENTED as above,
// with the reason.
absl::Status CheckCuda(const CudaExecutorOptions& options);

}  // namespace spillway
