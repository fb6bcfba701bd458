#include "worker/device_choice.h"

#include <cmath>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

constexpr int32_t kCudaIndexMax = 63;
constexpr double kBytesMax = 1e15;

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr Unit kUnits[] = {{"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30},
                           {"TiB", 0x1p40}, {"KB", 1e3},     {"MB", 1e6},
                           {"GB", 1e9},     {"TB", 1e12},    {"B", 1}};

}  // namespace

absl::StatusOr<DeviceChoice> ParseDeviceChoice(std::string_view text) {
  using Kind = DeviceChoice::Kind;
  if (text == "auto") return DeviceChoice{.kind = Kind::kAuto};
  if (text == "cpu") return DeviceChoice{.kind = Kind::kCpu};
  if (text == "cuda") return DeviceChoice{.kind = Kind::kCuda};
  constexpr std::string_view kPrefix = "cuda:";
  int32_t index = 0;
  if (text.starts_with(kPrefix) &&
      absl::SimpleAtoi(std::string(text.substr(kPrefix.size())), &index) && index >= 0 &&
      index <= kCudaIndexMax) {
    return DeviceChoice{.kind = Kind::kCuda, .cuda_index = index};
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a device is auto, cpu, cuda or cuda:N, not \"", std::string(text), "\""));
}

absl::StatusOr<GpuMemoryLimit> ParseGpuMemoryLimit(std::string_view text) {
  const absl::Status refusal = absl::InvalidArgumentError(
      absl::StrCat("GPU memory is a share such as 0.9 or a size such as 11.5GiB, not \"",
                   std::string(text), "\""));
  double factor = 0;
  std::string_view number = text;
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    factor = unit.bytes;
    number.remove_suffix(unit.name.size());
    break;
  }
  while (number.ends_with(' ')) number.remove_suffix(1);
  double value = 0;
  if (!absl::SimpleAtod(std::string(number), &value) || !std::isfinite(value) || value <= 0) {
    return refusal;
  }
  if (factor == 0) {
    if (value > 1) return refusal;
    return GpuMemoryLimit{.share = value};
  }
  if (value * factor < 1 || value * factor > kBytesMax) return refusal;
  return GpuMemoryLimit{.bytes = static_cast<int64_t>(value * factor)};
}

}  // namespace spillway
