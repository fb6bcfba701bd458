#include "worker/device/cuda_status.h"

#include <cuda_runtime_api.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace spillway {
namespace {

absl::StatusCode CodeOf(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return absl::StatusCode::kResourceExhausted;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorStubLibrary:
      return absl::StatusCode::kNotFound;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status CudaStatus(int32_t error, std::string_view doing) {
  if (error == cudaSuccess) return absl::OkStatus();
  const auto code = static_cast<cudaError_t>(error);
  return absl::Status(CodeOf(code), absl::StrCat(std::string(doing), ": ", cudaGetErrorString(code),
                                                 " (", cudaGetErrorName(code), ")"));
}

absl::Status LaunchStatus(std::string_view kernel, std::initializer_list<int64_t> shape) {
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return absl::OkStatus();
  return CudaStatus(error,
                    absl::StrCat(std::string(kernel), " [", absl::StrJoin(shape, ", "), "]"));
}

}  // namespace spillway
