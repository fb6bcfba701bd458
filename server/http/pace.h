#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace spillway {

struct PaceLimits {
  absl::Duration grace;        // for anybody, however slow
  double bytes_per_s_min = 1;  // on average, once the grace is over
  absl::Duration stall_max;    // between two bytes
  absl::Duration time_max;     // whatever was transferred
};

// Decides until when a transfer may go on: a slow line is fine, one that only holds our memory is
// not (slow loris, slow readers). Pure: time is an argument.
class Pace {
 public:
  Pace(const PaceLimits& limits, absl::Time begun)
      : limits_(limits), begun_(begun), progressed_(begun) {}

  void Progress(uint64_t bytes, absl::Time now);
  // When the transfer is too slow if nothing comes until then.
  absl::Time deadline() const;

 private:
  const PaceLimits limits_;
  const absl::Time begun_;
  absl::Time progressed_;  // the last byte
  double bytes_ = 0;
};

}  // namespace spillway
