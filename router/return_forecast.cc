#include "router/return_forecast.h"

namespace spillway {

void ReturnForecast::OnReady(absl::Time now, std::string_view instance) {
  if (ready_) return;
  ready_ = true;
  lost_at_.reset();
  if (instance.empty() || instance != instance_) {
    instance_ = std::string(instance);
    began_ = now;
  } else if (counted_short_) {
    --short_runs_;
  }
  counted_short_ = false;
}

void ReturnForecast::OnLost(absl::Time now) {
  if (!ready_) return;
  ready_ = false;
  lost_at_ = now;
  counted_short_ = now - began_ < limits_.stable_after;
  short_runs_ = counted_short_ ? short_runs_ + 1 : 0;
}

bool ReturnForecast::ExpectedBack(absl::Time now) const {
  return lost_at_.has_value() && now - *lost_at_ < limits_.return_max &&
         short_runs_ < limits_.short_runs_max;
}

}  // namespace spillway
