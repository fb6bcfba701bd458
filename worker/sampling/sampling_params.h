#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/types.h"

namespace spillway {

// How the next token is chosen from the logits. Applied in this order: logit_bias, repetition,
// frequency and presence penalties, temperature, top_k, top_p, min_p, then one draw
// (worker/sampling/penalties.h and sampler.h say precisely how).
struct SamplingParams {
  float temperature = 1.0f;         // in [0, 100]; 0: the likeliest token (the lowest id of equals)
  float top_p = 1.0f;               // in (0, 1]
  int32_t top_k = 0;                // 0: all
  float min_p = 0.0f;               // in [0, 1)
  uint64_t seed = 0;                // with the position of the new token it alone decides the draw
  float presence_penalty = 0.0f;    // in [-2, 2], over output tokens
  float frequency_penalty = 0.0f;   // in [-2, 2], over output tokens
  float repetition_penalty = 1.0f;  // in [0.01, 100], over prompt and output tokens
  // Added to the logits of these tokens; each once, at most kLogitBiasMax, in [-100, 100].
  std::vector<std::pair<TokenId, float>> logit_bias = {};
  // Also report log-probabilities (logprob_scorer.h), in [-1, kTopLogprobsMax]. -1: none; 0: the
  // sampled token's; n: also those of the n likeliest tokens.
  int32_t top_logprobs = -1;

  static constexpr int kLogitBiasMax = 1024;      // OpenAI takes 1,024
  static constexpr int32_t kTopLogprobsMax = 20;  // OpenAI's limit

  bool needs_history() const {
    return presence_penalty != 0 || frequency_penalty != 0 || repetition_penalty != 1.0f;
  }

  // INVALID_ARGUMENT whose message begins with the field's name and has its value and its range.
  absl::Status Validate(int32_t vocabulary_size) const;
};

}  // namespace spillway
