#include "worker/step_meter.h"

namespace spillway {
namespace {

constexpr double kDecay = 1.0 / 8;

void Follow(double& average, double value) {
  average = average == 0 ? value : average + kDecay * (value - average);
}

}  // namespace

void StepMeter::Record(const Step& step) {
  ++steps_;
  const double seconds = absl::ToDoubleSeconds(step.took);
  const int32_t tokens = step.prefill_tokens + step.decode_tokens;
  if (seconds <= 0 || tokens <= 0) return;
  Follow(step_ms_, seconds * 1e3);
  // Both kinds of token at the step's own rate: prefill is never slower a token than decode in the
  // same step, so its rate is rather too low.
  const double tokens_per_s = tokens / seconds;
  if (step.prefill_tokens > 0) Follow(prefill_tokens_per_s_, tokens_per_s);
  if (step.decode_tokens > 0) Follow(decode_tokens_per_s_, step.decode_tokens / seconds);
}

}  // namespace spillway
