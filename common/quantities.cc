#include "common/quantities.h"

#include <array>
#include <string_view>

#include "absl/strings/str_format.h"

namespace spillway {

std::string FormatBytes(int64_t bytes) {
  constexpr std::array<std::string_view, 4> kUnits = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024 && bytes > -1024) return absl::StrFormat("%d bytes", bytes);
  auto value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while ((value >= 1024 || value <= -1024) && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, std::string(kUnits[unit]));
}

std::string FormatCount(int64_t count) {
  std::string digits = absl::StrFormat("%d", count);
  const size_t first = digits.front() == '-' ? 1 : 0;
  for (size_t place = digits.size(); place > first + 3;) {
    place -= 3;
    digits.insert(place, ",");
  }
  return digits;
}

}  // namespace spillway
