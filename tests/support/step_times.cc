#include "tests/support/step_times.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <utility>

#include "common/check.h"

namespace spillway {
namespace {

constexpr size_t kTerms = 4;
constexpr size_t kNeighbours = 8;
constexpr int kRounds = 200;

std::array<double, kTerms> TermsOf(const StepWork& work) {
  return {1, static_cast<double>(work.tokens), static_cast<double>(work.rows),
          static_cast<double>(work.context_tokens)};
}

double Distance(const StepWork& a, const StepWork& b) {
  const auto of = [](int64_t x, int64_t y) {
    return std::abs(std::log((static_cast<double>(x) + 1) / (static_cast<double>(y) + 1)));
  };
  return of(a.tokens, b.tokens) + of(a.rows, b.rows) + of(a.context_tokens, b.context_tokens) / 4 +
         (a.prefills == b.prefills ? 0 : 1);
}

}  // namespace

StepTimes::StepTimes(const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    Recorded step;
    long tokens = 0, rows = 0, context_tokens = 0;
    int prefills = 0;
    double microseconds = 0;
    if (std::sscanf(line.c_str(), "%ld,%ld,%ld,%d,%lf", &tokens, &rows, &context_tokens, &prefills,
                    &microseconds) != 5) {
      continue;  // a heading
    }
    step.work = {tokens, rows, context_tokens, prefills == 1};
    step.seconds = microseconds * 1e-6;
    recorded_.push_back(step);
  }
  CHECK(recorded_.size() > kNeighbours);
  // Least squares of the relative errors, none negative, by coordinate descent.
  coefficients_.assign(kTerms, 0);
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kTerms; ++i) {
      double gradient = 0, curvature = 0;
      for (const Recorded& step : recorded_) {
        const double term = TermsOf(step.work)[i] / step.seconds;
        gradient += term * (1 - Fit(step.work) / step.seconds);
        curvature += term * term;
      }
      coefficients_[i] = std::max(0.0, coefficients_[i] + gradient / curvature);
    }
  }
  for (Recorded& step : recorded_) step.excess = step.seconds / Fit(step.work);
}

double StepTimes::Fit(const StepWork& work) const {
  const std::array<double, kTerms> terms = TermsOf(work);
  double seconds = 0;
  for (size_t i = 0; i < kTerms; ++i) seconds += coefficients_[i] * terms[i];
  return seconds;
}

absl::Duration StepTimes::Sample(const StepWork& work, std::mt19937& random) const {
  // Some of all, and of those the nearest: close enough, and quick.
  const Recorded* best = nullptr;
  double least = 0;
  for (size_t i = 0; i < kNeighbours; ++i) {
    const Recorded& step = recorded_[random() % recorded_.size()];
    const double distance = Distance(work, step.work);
    if (best == nullptr || distance < least) {
      best = &step;
      least = distance;
    }
  }
  return absl::Seconds(Fit(work) * best->excess);
}

}  // namespace spillway
