// worker/cuda/make_cuda_executor.h in builds without CUDA.

#include "absl/status/status.h"
#include "worker/cuda/make_cuda_executor.h"

namespace spillway {

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const ModelSpec& /*spec*/,
                                                           const TensorSource& /*tensors*/,
                                                           const CudaExecutorOptions& options) {
  return CheckCuda(options);
}

absl::Status CheckCuda(const CudaExecutorOptions& /*options*/) {
  return absl::UnimplementedError("this build has no CUDA; ./dev build cuda makes one that has");
}

}  // namespace spillway
