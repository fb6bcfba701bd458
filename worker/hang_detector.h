#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace spillway {

// What an engine says of itself.
struct EngineSign {
  uint64_t turn = 0;        // counts up as long as the engine lives
  absl::Duration patience;  // by when the next one comes, at the latest
};

// Decides from the signs of an engine, looked at every `tick`, whether it hangs. Pure.
//
// What passes between two looks counts as two ticks at most: a process that was stopped, or a
// machine that slept, is not taken for one whose engine hangs.
class HangDetector {
 public:
  explicit HangDetector(absl::Duration tick) : tick_(tick) {}

  // How long there has been no new sign, if that is longer than the last one allowed.
  std::optional<absl::Duration> Look(const EngineSign& sign, absl::Time now);

 private:
  const absl::Duration tick_;
  std::optional<uint64_t> turn_;  // the last that was seen
  absl::Time looked_;
  absl::Duration waited_;
};

}  // namespace spillway
