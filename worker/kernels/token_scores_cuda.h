#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"

namespace spillway {

// Log-probabilities of tokens from the model's own logits, as worker/sampling/logprob_scorer.h
// defines them: natural, before penalties and filters; not-a-number counts as -infinity, +infinity
// as the largest float.

inline constexpr int32_t kTopTokensMax = 20;

// Which token is scored by which row of logits.
struct TokenToScore {
  int32_t logits_row = 0;
  int32_t token = 0;  // < 0: what `sampled` has for sampled_row
  int32_t sampled_row = 0;
  int32_t top_count = 0;  // at most kTopTokensMax and the vocabulary
};

struct ScoredToken {
  float logprob = 0;  // not-a-number: no logit is a number above -infinity, or no token was sampled
  int32_t rank = 0;   // 1: no token was likelier
  int32_t top_tokens[kTopTokensMax] = {};  // the likeliest first, of equals the lower id
  float top_logprobs[kTopTokensMax] = {};
};

struct TokenScores {
  int32_t count = 0;
  int32_t vocabulary = 0;
  const float* logits = nullptr;  // rows of logits_stride
  int64_t logits_stride = 0;
  const TokenToScore* tokens = nullptr;  // [count]
  const int32_t* sampled = nullptr;
  ScoredToken* scores = nullptr;  // [count]
};

// Device pointers. Sums are in f32: log-probabilities are some 1e-5 off.
absl::Status ScoreTokensCuda(const Stream& stream, const TokenScores& scores);

// The oracle, over host pointers and in double.
void ScoreTokensReference(const TokenScores& scores);

}  // namespace spillway
