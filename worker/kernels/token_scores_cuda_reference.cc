#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "worker/kernels/token_scores_cuda.h"

namespace spillway {
namespace {

float Usable(float logit) {
  if (std::isnan(logit)) return -std::numeric_limits<float>::infinity();
  return std::min(logit, std::numeric_limits<float>::max());
}

}  // namespace

void ScoreTokensReference(const TokenScores& scores) {
  for (int32_t i = 0; i < scores.count; ++i) {
    const TokenToScore& asked = scores.tokens[i];
    const float* const logits = scores.logits + asked.logits_row * scores.logits_stride;
    const int32_t token = asked.token < 0 ? scores.sampled[asked.sampled_row] : asked.token;
    ScoredToken& score = scores.scores[i];
    score = {};
    std::vector<int32_t> order(static_cast<size_t>(scores.vocabulary));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(
        order, [&](int32_t a, int32_t b) { return Usable(logits[a]) > Usable(logits[b]); });
    const double largest = Usable(logits[order.front()]);
    if (std::isinf(largest) || token < 0) {
      score.logprob = NAN;
      continue;
    }
    double total = 0;
    for (const int32_t t : order) total += std::exp(Usable(logits[t]) - largest);
    const auto logprob_of = [&](int32_t t) {
      return static_cast<float>(Usable(logits[t]) - largest - std::log(total));
    };
    score.logprob = logprob_of(token);
    score.rank = 1 + static_cast<int32_t>(std::ranges::count_if(order, [&](int32_t t) {
                   return Usable(logits[t]) > Usable(logits[token]);
                 }));
    for (int32_t t = 0; t < asked.top_count; ++t) {
      score.top_tokens[t] = order[static_cast<size_t>(t)];
      score.top_logprobs[t] = logprob_of(order[static_cast<size_t>(t)]);
    }
  }
}

}  // namespace spillway
