#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace spillway {

// What --device says: where a model runs.
struct DeviceChoice {
  enum class Kind { kAuto, kCpu, kCuda };
  Kind kind = Kind::kAuto;  // kAuto: on a GPU if there is one, else on the CPU
  int32_t cuda_index = 0;
};

// "auto", "cpu", "cuda" or "cuda:1". INVALID_ARGUMENT: something else.
absl::StatusOr<DeviceChoice> ParseDeviceChoice(std::string_view text);

// What --gpu-memory says: how full the GPU may get, all programs counted.
struct GpuMemoryLimit {
  double share = 0.9;  // of the GPU's memory, unless bytes are given
  int64_t bytes = 0;
};

// A share in (0, 1], "0.9"; or bytes, "11.5GiB", "8GB", "500MiB". INVALID_ARGUMENT: something else.
absl::StatusOr<GpuMemoryLimit> ParseGpuMemoryLimit(std::string_view text);

}  // namespace spillway
