#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/types.h"
#include "worker/sampling/candidates.h"

namespace spillway {

// A token with its natural log-probability.
struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

// How likely the model held one token, given those before it.
struct TokenScore {
  float logprob = 0;
  int32_t rank = 0;                   // 1: no token was likelier
  std::span<const TokenLogprob> top;  // the likeliest tokens, as many as were asked for
};

// Log-probabilities of one row of logits: log(softmax(logits)) of the model's own logits, before
// penalties, bias, temperature and filters, and so the same for every way of sampling.
//
// The likeliest come first, the lower id of equals. NaN counts as -infinity, whose log-probability
// is -infinity; +infinity counts as the largest float. The sum is of weights in units of 2^-32 of
// the largest (logit_weights.h): the same on every machine, at most 2e-5 off with a vocabulary of
// 150,000, where all but one token are equally unlikely.
//
// Not thread-safe: one for each thread that samples. After construction it allocates nothing.
class LogprobScorer {
 public:
  explicit LogprobScorer(int32_t vocabulary_size);  // Requires 0 < vocabulary_size <= 2^20.

  // Writes the top.size() likeliest tokens to `top` and scores `token`; the result's `top` is
  // `top`. `logits`: [vocabulary_size]; where all of them are NaN or -infinity the result's logprob
  // is NaN and its `top` empty. Requires a token in the vocabulary, and that `top` is no larger
  // than it.
  TokenScore Score(std::span<const float> logits, TokenId token, std::span<TokenLogprob> top);

 private:
  void FindTop(std::span<const float> logits, std::span<TokenLogprob> top);

  // Scratch of one call.
  std::vector<float> weights_;        // [vocabulary]
  std::vector<float> block_maxima_;   // [blocks]
  std::vector<float> sorted_maxima_;  // [blocks]
  std::vector<double> block_sums_;    // [blocks]
  std::vector<Candidate> candidates_;
};

}  // namespace spillway
