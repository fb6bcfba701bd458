#include "worker/sampling/sampler.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "absl/status/status.h"
#include "common/check.h"
#include "worker/sampling/draw.h"
#include "worker/sampling/logit_weights.h"

namespace spillway {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Takes the others out of the choice. Most words of a mask are all ones or all zeros.
void KeepAllowed(std::span<const int32_t> allowed, std::span<float> logits) {
  constexpr size_t kWordBits = 32;
  if (allowed.empty()) return;
  CHECK(allowed.size() * kWordBits >= logits.size());
  for (size_t begin = 0; begin < logits.size(); begin += kWordBits) {
    const auto word = static_cast<uint32_t>(allowed[begin / kWordBits]);
    if (word == ~uint32_t{0}) continue;
    const size_t end = std::min(begin + kWordBits, logits.size());
    for (size_t i = begin; i < end; ++i) {
      if ((word >> (i - begin) & 1) == 0) logits[i] = -kInfinity;
    }
  }
}

}  // namespace

Sampler::Sampler(int32_t vocabulary_size)
    : vocabulary_size_(vocabulary_size), penalties_(vocabulary_size) {
  const auto size = static_cast<size_t>(vocabulary_size);
  adjusted_.resize(size);
  weights_.resize(size);
  block_maxima_.resize(LogitBlocks(size));
  sorted_maxima_.resize(LogitBlocks(size));
  block_sums_.resize(LogitBlocks(size));
  candidates_.reserve(size);
  scratch_.reserve(size);
}

absl::StatusOr<TokenId> Sampler::Sample(std::span<const float> logits, const SamplingParams& params,
                                        const TokenHistory& history,
                                        std::span<const TokenId> banned, int64_t position,
                                        std::span<const int32_t> allowed) {
  CHECK(logits.size() == adjusted_.size());
  if (!Penalties::ChangeNothing(params, banned) || !allowed.empty()) {
    std::copy(logits.begin(), logits.end(), adjusted_.begin());
    penalties_.Apply(params, history, banned, adjusted_);
    KeepAllowed(allowed, adjusted_);
    logits = adjusted_;
  }
  const TokenId token = params.temperature == 0 ? static_cast<TokenId>(ArgMax(logits))
                                                : Choose(logits, params, position);
  if (token < 0) {
    return absl::InternalError("the model gave no logit from which a token could be chosen");
  }
  return token;
}

TokenId Sampler::Choose(std::span<const float> logits, const SamplingParams& params,
                        int64_t position) {
  BlockMaxima(logits, block_maxima_);
  const float max = *std::max_element(block_maxima_.begin(), block_maxima_.end());
  if (max == -kInfinity) return -1;
  const double draw = UniformDraw(params.seed, position);

  double total = 0;
  bool is_gathered = false;
  if (params.top_k > 0 && params.top_k < vocabulary_size_) {
    GatherTopK(logits, static_cast<size_t>(params.top_k), max, params.temperature);
    for (const Candidate& candidate : candidates_) total += candidate.value;
    is_gathered = true;
  } else {
    Weights(logits, max, params.temperature, weights_);
    total = BlockSums(weights_, block_sums_);
  }
  if (params.top_p < 1) {
    if (!is_gathered) {
      // All those below this weight have less than 1 - top_p of the sum: none of them is needed.
      const double lowest = (1 - static_cast<double>(params.top_p)) * total / vocabulary_size_;
      GatherWeights(static_cast<float>(lowest * 0.999));  // the margin covers the rounding
      is_gathered = true;
    }
    KeepMass(static_cast<double>(params.top_p) * total, candidates_, scratch_);
  }
  if (params.min_p > 0) {
    if (is_gathered) {
      std::erase_if(candidates_, [&](const Candidate& candidate) {
        return candidate.value < params.min_p;  // the heaviest weighs 1
      });
    } else {
      GatherWeights(params.min_p);
      is_gathered = true;
    }
  }
  return is_gathered ? DrawFromCandidates(draw) : DrawFromWeights(draw, total);
}

void Sampler::GatherTopK(std::span<const float> logits, size_t k, float max, float temperature) {
  // k blocks have a logit of at least the k-th largest maximum, so the k highest logits do, too.
  float lowest = -kInfinity;
  if (k <= block_maxima_.size()) {
    std::copy(block_maxima_.begin(), block_maxima_.end(), sorted_maxima_.begin());
    const auto kth = sorted_maxima_.begin() + static_cast<ptrdiff_t>(k - 1);
    std::nth_element(sorted_maxima_.begin(), kth, sorted_maxima_.end(), std::greater<float>());
    lowest = *kth;
  }
  candidates_.clear();
  for (size_t block = 0; block < block_maxima_.size(); ++block) {
    if (block_maxima_[block] < lowest) continue;
    const size_t end = std::min((block + 1) * kLogitBlock, logits.size());
    for (size_t i = block * kLogitBlock; i < end; ++i) {
      if (logits[i] >= lowest) candidates_.push_back({static_cast<TokenId>(i), logits[i]});
    }
  }
  KeepLikeliest(k, candidates_, scratch_);
  for (size_t i = 0; i < candidates_.size(); ++i) weights_[i] = candidates_[i].value;
  const std::span<float> weights = std::span(weights_).first(candidates_.size());
  Weights(weights, max, temperature, weights);
  for (size_t i = 0; i < candidates_.size(); ++i) candidates_[i].value = weights_[i];
}

void Sampler::GatherWeights(float lowest) {
  candidates_.clear();
  for (size_t block = 0; block < block_sums_.size(); ++block) {
    // Only of a block that weighs as much may one of its tokens.
    if (block_sums_[block] < static_cast<double>(lowest)) continue;
    const size_t end = std::min((block + 1) * kLogitBlock, weights_.size());
    for (size_t i = block * kLogitBlock; i < end; ++i) {
      if (weights_[i] >= lowest) candidates_.push_back({static_cast<TokenId>(i), weights_[i]});
    }
  }
}

TokenId Sampler::DrawFromWeights(double draw, double total) const {
  const double target = draw * total;  // < total, as draw <= 1 - 2^-53
  double before = 0;
  for (size_t block = 0; block < block_sums_.size(); ++block) {
    if (before + block_sums_[block] <= target) {
      before += block_sums_[block];
      continue;
    }
    for (size_t i = block * kLogitBlock; i < weights_.size(); ++i) {
      before += weights_[i];
      if (before > target) return static_cast<TokenId>(i);
    }
  }
  CHECK(false && "the weights add up to more than the target");
  return -1;
}

TokenId Sampler::DrawFromCandidates(double draw) const {
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.value;
  const double target = draw * total;
  double before = 0;
  for (const Candidate& candidate : candidates_) {
    before += candidate.value;
    if (before > target) return candidate.token;
  }
  CHECK(false && "the heaviest is always among the candidates");
  return -1;
}

}  // namespace spillway
