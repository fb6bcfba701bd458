#include "router/return_forecast.h"

namespace spillway {

void ReturnForecast::OnReady(absl::Time now) {
  if (ready_since_.has_value()) return;
  ready_since_ = now;
  lost_at_.reset();
}

void ReturnForecast::OnLost(absl::Time now) {
  if (!ready_since_.has_value()) return;
  short_runs_ = now - *ready_since_ < limits_.stable_after ? short_runs_ + 1 : 0;
  ready_since_.reset();
  lost_at_ = now;
}

bool ReturnForecast::ExpectedBack(absl::Time now) const {
  return lost_at_.has_value() && now - *lost_at_ < limits_.return_max &&
         short_runs_ < limits_.short_runs_max;
}

}  // namespace spillway
