#include "server/cli/shutdown_plan.h"

namespace spillway {

void ShutdownPlan::OnTerminate(absl::Time now) {
  if (phase_ != ServingPhase::kServing) return OnInterrupt(now);
  phase_ = ServingPhase::kDelaying;
  until_ = now + delay_;
}

void ShutdownPlan::OnInterrupt(absl::Time now) {
  if (phase_ == ServingPhase::kServing || phase_ == ServingPhase::kDelaying) {
    Drain(now);
  } else {
    phase_ = ServingPhase::kStopped;
    until_ = absl::InfiniteFuture();
  }
}

void ShutdownPlan::OnTick(absl::Time now, bool idle) {
  if (phase_ == ServingPhase::kDelaying && now >= until_) Drain(now);
  if (phase_ == ServingPhase::kDraining && (idle || now >= until_)) {
    phase_ = ServingPhase::kStopped;
    until_ = absl::InfiniteFuture();
  }
}

void ShutdownPlan::Drain(absl::Time now) {
  phase_ = ServingPhase::kDraining;
  until_ = now + grace_;
}

}  // namespace spillway
