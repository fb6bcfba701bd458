#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace spillway {

// What a worker keeps for its routers (RouterSessions).
struct RouterSessionLimits {
  int32_t sessions_max = 1024;                       // routers, with those that may come back
  size_t unacknowledged_bytes_max = 16u << 20;       // of frames kept for one router
  absl::Duration reattach_grace = absl::Seconds(5);  // what a lost router carried runs on so long
  absl::Duration silence_max = absl::Seconds(15);    // of an attached router: it pings each second
};

}  // namespace spillway
