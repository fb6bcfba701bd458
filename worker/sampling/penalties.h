#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/types.h"
#include "worker/sampling/sampling_params.h"

namespace spillway {

// The tokens of one sequence, as penalties count them.
struct TokenHistory {
  std::span<const TokenId> tokens = {};  // the first `prompt_tokens` of them the prompt
  TokenId pending = -1;                  // one more of the output, or -1
  int32_t prompt_tokens = 0;
};

// What a request does to the model's logits before a token is chosen, in this order:
//   1. logit_bias is added.
//   2. Each token of the history, prompt too: a positive logit is divided by repetition_penalty, a
//      negative one multiplied (Keskar et al., CTRL, 2019; transformers'
//      RepetitionPenaltyLogitsProcessor).
//   3. Each token of the output: minus frequency_penalty times its count, minus presence_penalty
//      (OpenAI's formula; vLLM's apply_penalties has 2 before 3, too).
//   4. Banned tokens get -infinity.
//
// Not thread-safe: one for each thread that samples. After construction it allocates nothing.
class Penalties {
 public:
  explicit Penalties(int32_t vocabulary_size);  // Requires 0 < vocabulary_size <= 2^20.

  static bool ChangeNothing(const SamplingParams& params, std::span<const TokenId> banned) {
    return params.logit_bias.empty() && !params.needs_history() && banned.empty();
  }

  // `logits`: [vocabulary_size], changed in place. Requires valid params and token ids in the
  // vocabulary.
  void Apply(const SamplingParams& params, const TokenHistory& history,
             std::span<const TokenId> banned, std::span<float> logits);

 private:
  void ApplyToHistory(const SamplingParams& params, const TokenHistory& history,
                      std::span<float> logits);
  void CountToken(TokenId token, bool is_output);

  const int32_t vocabulary_size_;
  // Scratch of one call.
  std::vector<int32_t> counts_;   // [vocabulary]: -1 between calls, in one the count in the output
  std::vector<TokenId> counted_;  // where counts_ is not -1
};

}  // namespace spillway
