#include "worker/step_patience.h"

namespace spillway {

absl::Duration StepPatience::For(const StepWork& work) const {
  const absl::Duration predicted = cost_.Predict(work);
  if (predicted > absl::ZeroDuration()) return limits_.factor * predicted;
  return work.tokens * limits_.unmeasured_token;
}

}  // namespace spillway
