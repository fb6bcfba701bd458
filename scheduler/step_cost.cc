#include "scheduler/step_cost.h"

#include <algorithm>
#include <cmath>

namespace spillway {
namespace {

constexpr double kDecay = 1.0 / 32;
// Of each term's own square, added to it: terms that always came together share what they cost.
constexpr double kRidge = 1e-4;
// What one step may add to the overrun: a process that was stopped for a minute is no forecast.
constexpr double kOverrunMax = 1;

// How many times their root mean square.
constexpr double kOverrunMargin = 2.5;
// Of the fit: what is shorter was collected late. A machine that became faster is followed all the
// same, by halves.
constexpr double kTookMin = 0.5;

}  // namespace

void StepWork::Add(int64_t begin, int64_t count) {
  tokens += count;
  rows += 1;
  context_tokens += count * begin + count * (count + 1) / 2;
  prefills = prefills || count > 1;
}

void StepCost::Observe(const StepWork& work, absl::Duration took) {
  const double measured = absl::ToDoubleSeconds(took);
  if (measured <= 0 || work.tokens <= 0) return;
  const double fit = Fit(work);
  const double seconds = std::max(measured, fit * kTookMin);
  Sums& sums = work.prefills ? prefills_ : decodes_;
  const double scale = 1 / std::max(seconds, fit);
  const Terms terms = TermsOf(work);
  for (size_t i = 0; i < kTerms; ++i) {
    for (size_t j = 0; j < kTerms; ++j) {
      sums.squares[i][j] += terms[i] * terms[j] * scale * scale - kDecay * sums.squares[i][j];
    }
    sums.products[i] += terms[i] * seconds * scale * scale - kDecay * sums.products[i];
  }
  if (work.prefills) {
    // The first has nothing to be held against.
    if (prefill_tokens_seen_ > 0) {
      const double overrun = std::clamp(seconds / fit - 1, 0.0, kOverrunMax);
      overrun_squared_ += kDecay * (overrun * overrun - overrun_squared_);
    }
    prefill_tokens_seen_ = std::max(prefill_tokens_seen_, work.tokens);
  }
  Solve();
}

absl::Duration StepCost::Predict(const StepWork& work) const {
  double seconds = Fit(work);
  if (prefill_tokens_seen_ > 0 && work.tokens > prefill_tokens_seen_) {
    const double times =
        static_cast<double>(work.tokens) / static_cast<double>(prefill_tokens_seen_);
    const double rows = static_cast<double>(work.rows);
    seconds += (coefficients_[0] + coefficients_[2] * rows) * (times - 1);
  }
  return absl::Seconds(seconds * (1 + kOverrunMargin * std::sqrt(overrun_squared_)));
}

StepCost::Terms StepCost::TermsOf(const StepWork& work) {
  return {1, static_cast<double>(work.tokens), static_cast<double>(work.rows),
          static_cast<double>(work.context_tokens)};
}

double StepCost::Fit(const StepWork& work) const {
  const Terms terms = TermsOf(work);
  double seconds = 0;
  for (size_t i = 0; i < kTerms; ++i) seconds += coefficients_[i] * terms[i];
  return seconds;
}

// Non-negative least squares: while a coefficient comes out negative, the most negative of all (in
// what it adds to the fit) is left out.
void StepCost::Solve() {
  std::array<bool, kTerms> left_out{};
  for (int round = 0; round < kTerms; ++round) {
    // Gauss-Jordan; positive definite by the ridge, so no pivots are sought.
    std::array<std::array<double, kTerms + 1>, kTerms> rows{};
    Terms sizes{};
    for (size_t i = 0; i < kTerms; ++i) {
      for (size_t j = 0; j < kTerms; ++j) {
        rows[i][j] =
            left_out[i] || left_out[j] ? 0 : decodes_.squares[i][j] + prefills_.squares[i][j];
      }
      sizes[i] = std::sqrt(rows[i][i]);
      rows[i][i] = left_out[i] ? 1 : rows[i][i] * (1 + kRidge);
      rows[i][kTerms] = left_out[i] ? 0 : decodes_.products[i] + prefills_.products[i];
    }
    for (size_t pivot = 0; pivot < kTerms; ++pivot) {
      for (size_t i = 0; i < kTerms; ++i) {
        if (i == pivot) continue;
        const double factor = rows[i][pivot] / rows[pivot][pivot];
        for (size_t j = pivot; j <= kTerms; ++j) rows[i][j] -= factor * rows[pivot][j];
      }
    }
    size_t worst = kTerms;
    for (size_t i = 0; i < kTerms; ++i) {
      coefficients_[i] = rows[i][kTerms] / rows[i][i];
      const bool negative = coefficients_[i] < 0;
      if (negative &&
          (worst == kTerms || coefficients_[i] * sizes[i] < coefficients_[worst] * sizes[worst])) {
        worst = i;
      }
    }
    if (worst == kTerms) return;
    left_out[worst] = true;
    coefficients_[worst] = 0;
  }
}

}  // namespace spillway
