#pragma once

#include "absl/time/time.h"

namespace spillway {

enum class ServingPhase {
  kServing,
  kDelaying,  // not ready, but still serving: load balancers go on sending for seconds
  kDraining,  // takes nothing new; running answers end
  kStopped,
};

// Decides when a server goes from one phase to the next. SIGTERM, which orchestrators send, begins
// the delay; Ctrl-C skips it; any further signal skips what is being waited for. Pure: time is an
// argument.
class ShutdownPlan {
 public:
  ShutdownPlan(absl::Duration delay, absl::Duration grace) : delay_(delay), grace_(grace) {}

  void OnTerminate(absl::Time now);
  void OnInterrupt(absl::Time now);
  // `idle`: no client is connected.
  void OnTick(absl::Time now, bool idle);

  ServingPhase phase() const { return phase_; }
  // When OnTick() may change something by time alone.
  absl::Time next_tick() const { return until_; }

 private:
  void Drain(absl::Time now);

  const absl::Duration delay_;
  const absl::Duration grace_;
  ServingPhase phase_ = ServingPhase::kServing;
  absl::Time until_ = absl::InfiniteFuture();  // the end of this phase
};

}  // namespace spillway
