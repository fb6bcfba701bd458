#include "worker/kernels/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace spillway {
namespace {

double Llama3Frequency(double frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double turns = scaling.original_context_tokens / wavelength;
  if (turns < scaling.low_frequency_factor) return frequency / scaling.factor;
  if (turns > scaling.high_frequency_factor) return frequency;
  const double smooth = (turns - scaling.low_frequency_factor) /
                        (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

// Yarn keeps the dimensions that turn often, interpolates those that turn less than once over the
// original context, and blends between the two.
class YarnRamp {
 public:
  YarnRamp(double base, int32_t size, const RopeScaling& scaling) {
    // The dimension that turns `turns` times over the original context.
    const auto dimension = [&](double turns) {
      return size * std::log(scaling.original_context_tokens / (turns * 2 * std::numbers::pi)) /
             (2 * std::log(base));
    };
    low_ = dimension(scaling.beta_fast);
    high_ = dimension(scaling.beta_slow);
    if (scaling.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, size - 1.0);
    if (low_ == high_) high_ += 0.001;  // as the reference does
  }

  // 0: as trained; 1: interpolated.
  double At(int32_t pair) const { return std::clamp((pair - low_) / (high_ - low_), 0.0, 1.0); }

 private:
  double low_;
  double high_;
};

double YarnMagnitude(const RopeScaling& scaling) {
  if (scaling.attention_factor > 0) return scaling.attention_factor;
  const auto mscale = [&](double weight) {
    return scaling.factor <= 1 ? 1.0 : 0.1 * weight * std::log(scaling.factor) + 1.0;
  };
  if (scaling.mscale > 0 && scaling.mscale_all_dim > 0) {
    return mscale(scaling.mscale) / mscale(scaling.mscale_all_dim);
  }
  return mscale(1);
}

}  // namespace

Rope MakeRope(double base, int32_t size, const RopeScaling& scaling) {
  using Kind = RopeScaling::Kind;
  Rope rope;
  if (scaling.kind == Kind::kYarn) rope.magnitude = YarnMagnitude(scaling);
  for (int32_t pair = 0; pair < size / 2; ++pair) {
    double frequency = std::pow(base, -2.0 * pair / size);
    if (scaling.kind == Kind::kLinear) frequency /= scaling.factor;
    if (scaling.kind == Kind::kLlama3) frequency = Llama3Frequency(frequency, scaling);
    if (scaling.kind == Kind::kYarn) {
      const double ramp = YarnRamp(base, size, scaling).At(pair);
      frequency = frequency * (1 - ramp) + frequency / scaling.factor * ramp;
    }
    rope.frequencies.push_back(frequency);
  }
  return rope;
}

}  // namespace spillway
