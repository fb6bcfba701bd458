#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/step_cost.h"

namespace spillway {

// How long steps of a real model took (bench/record_steps.cc), and what other steps would have
// taken: a fit over all recorded ones, times what one of those most like it took more or less than
// its own fit.
class StepTimes {
 public:
  // The process ends when the file can't be read.
  explicit StepTimes(const std::string& path);

  absl::Duration Sample(const StepWork& work, std::mt19937& random) const;

 private:
  struct Recorded {
    StepWork work;
    double seconds = 0;
    double excess = 1;  // times its fit
  };
  double Fit(const StepWork& work) const;

  std::vector<Recorded> recorded_;
  std::vector<double> coefficients_;
};

}  // namespace spillway
