#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "absl/status/status.h"

namespace spillway {

// OK for cudaSuccess. Else the CUDA error by name, after what was being done: RESOURCE_EXHAUSTED
// for memory, NOT_FOUND for a machine without driver or device, INTERNAL for the rest. `error` is a
// cudaError_t, as a number so that callers need no CUDA header.
//
// An INTERNAL error of a kernel is sticky: the process can't use the device any more and must end.
absl::Status CudaStatus(int32_t error, std::string_view doing);

// The status of the launch that this thread has just made, "paged_attention [64, 8, 128]: …".
// Errors inside the kernel come later, from the next call that waits, which can name only itself;
// the environment variable CUDA_LAUNCH_BLOCKING=1 makes them come here.
absl::Status LaunchStatus(std::string_view kernel, std::initializer_list<int64_t> shape);

}  // namespace spillway
