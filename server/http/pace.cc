#include "server/http/pace.h"

#include <algorithm>

namespace spillway {

void Pace::Progress(uint64_t bytes, absl::Time now) {
  if (bytes == 0) return;
  bytes_ += static_cast<double>(bytes);
  progressed_ = now;
}

absl::Time Pace::deadline() const {
  const absl::Time by_rate =
      begun_ + limits_.grace + absl::Seconds(bytes_ / limits_.bytes_per_s_min);
  return std::min({by_rate, progressed_ + limits_.stall_max, begun_ + limits_.time_max});
}

}  // namespace spillway
