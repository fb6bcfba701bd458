#pragma once

#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace spillway {

// What a step has to do.
struct StepWork {
  int64_t tokens = 0;
  int64_t rows = 0;            // slices
  int64_t context_tokens = 0;  // the sum, over its tokens, of how many tokens each attends to
  bool prefills = false;       // a slice of several tokens is in it

  // Tokens [begin, begin + count) of a sequence.
  void Add(int64_t begin, int64_t count);
};

// Predicts how long a step takes, from how long others took: a constant (reading the weights), and
// so much for each token, row and token of context; none of them negative. Least squares of the
// relative errors, so that decodes of milliseconds count beside prefills of seconds.
//
// Later steps weigh more (by half after about 20). Steps with and without prefill are forgotten
// each by their own kind, so that hours of mere decoding don't wash out what a prefill costs.
// A step that took far too long because the process was stopped weighs next to nothing; so does one
// that looks too short because it was collected late.
//
// Pure: the same calls give the same predictions. No allocation; under a microsecond a call.
class StepCost {
 public:
  // Steps that took no time were not measured, and count for nothing.
  void Observe(const StepWork& work, absl::Duration took);

  // How long it takes by the fit. Zero before anything was measured.
  absl::Duration Expect(const StepWork& work) const { return absl::Seconds(Fit(work)); }

  // For promises: the fit, and on top of it a multiple of what steps with prefills lately took
  // longer than theirs. Beyond prefill_tokens_seen(), what comes once and for each row is taken in
  // proportion to the tokens: too much wherever a token is not dearer in a longer step. Zero before
  // anything was measured.
  absl::Duration Predict(const StepWork& work) const;

  // The most tokens that a measured step with a prefill had: beyond, Predict() is a guess.
  int64_t prefill_tokens_seen() const { return prefill_tokens_seen_; }

 private:
  static constexpr int kTerms = 4;
  using Terms = std::array<double, kTerms>;

  // Of the normal equations, decayed.
  struct Sums {
    std::array<Terms, kTerms> squares{};
    Terms products{};
  };

  static Terms TermsOf(const StepWork& work);
  double Fit(const StepWork& work) const;  // seconds
  void Solve();

  Sums decodes_;
  Sums prefills_;
  Terms coefficients_{};  // seconds
  double overrun_squared_ = 0;
  int64_t prefill_tokens_seen_ = 0;
};

}  // namespace spillway
