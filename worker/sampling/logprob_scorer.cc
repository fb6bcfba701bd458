#include "worker/sampling/logprob_scorer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "common/check.h"
#include "worker/sampling/logit_weights.h"

namespace spillway {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

// As a logit counts: without NaN and +infinity.
float Tamed(float logit) {
  if (std::isnan(logit)) return -kInfinity;
  return std::min(logit, kLargest);
}

}  // namespace

LogprobScorer::LogprobScorer(int32_t vocabulary_size) {
  CHECK(vocabulary_size > 0 && vocabulary_size <= kVocabularyMax);
  const auto size = static_cast<size_t>(vocabulary_size);
  weights_.resize(size);
  block_maxima_.resize(LogitBlocks(size));
  sorted_maxima_.resize(LogitBlocks(size));
  block_sums_.resize(LogitBlocks(size));
  candidates_.reserve(size);
}

TokenScore LogprobScorer::Score(std::span<const float> logits, TokenId token,
                                std::span<TokenLogprob> top) {
  CHECK(logits.size() == weights_.size() && top.size() <= logits.size());
  CHECK(token >= 0 && static_cast<size_t>(token) < logits.size());
  BlockMaxima(logits, block_maxima_);
  const float max = Tamed(*std::max_element(block_maxima_.begin(), block_maxima_.end()));
  if (max == -kInfinity) return {.logprob = std::numeric_limits<float>::quiet_NaN()};
  Weights(logits, max, /*temperature=*/1, weights_);
  const double log_total = std::log(BlockSums(weights_, block_sums_));
  const auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - static_cast<double>(max) - log_total);
  };

  FindTop(logits, top);
  for (TokenLogprob& entry : top) entry.logprob = logprob(entry.logprob);
  const float chosen = logits[static_cast<size_t>(token)];
  const size_t likelier = CountAbove(logits, std::isnan(chosen) ? -kInfinity : chosen);
  return {
      .logprob = logprob(Tamed(chosen)), .rank = 1 + static_cast<int32_t>(likelier), .top = top};
}

// Leaves logits where Score() puts log-probabilities.
void LogprobScorer::FindTop(std::span<const float> logits, std::span<TokenLogprob> top) {
  if (top.empty()) return;
  // As many blocks as there are tokens wanted have one of at least the last of their maxima.
  float lowest = -kInfinity;
  if (top.size() <= block_maxima_.size()) {
    std::copy(block_maxima_.begin(), block_maxima_.end(), sorted_maxima_.begin());
    const auto last = sorted_maxima_.begin() + static_cast<ptrdiff_t>(top.size() - 1);
    std::nth_element(sorted_maxima_.begin(), last, sorted_maxima_.end(), std::greater<float>());
    lowest = *last;
  }
  candidates_.clear();
  for (size_t block = 0; block < block_maxima_.size(); ++block) {
    if (block_maxima_[block] < lowest) continue;
    const size_t end = std::min((block + 1) * kLogitBlock, logits.size());
    for (size_t i = block * kLogitBlock; i < end; ++i) {
      const float logit = Tamed(logits[i]);
      if (logit >= lowest) candidates_.push_back({static_cast<TokenId>(i), logit});
    }
  }
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(top.size()),
                    candidates_.end(), Likelier);
  for (size_t i = 0; i < top.size(); ++i) top[i] = {candidates_[i].token, candidates_[i].value};
}

}  // namespace spillway
