#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "worker/kernels/sampling_cuda.h"

namespace spillway {
namespace {

constexpr double kOut = -std::numeric_limits<double>::infinity();

std::vector<double> AdjustedLogits(const SamplingBatch& batch, int32_t row) {
  const SamplingRow& params = batch.params[row];
  std::vector<double> logits(static_cast<size_t>(batch.vocabulary));
  for (int32_t token = 0; token < batch.vocabulary; ++token) {
    float logit = batch.logits[batch.LogitAt(row, token)];
    const int64_t mask_words = (batch.vocabulary + 31) / 32;
    const bool masked = batch.masks != nullptr &&
                        (batch.masks[row * mask_words + token / 32] >> token % 32 & 1) == 0;
    if (std::isnan(logit) || masked) logit = -std::numeric_limits<float>::infinity();
    logit = std::min(logit, std::numeric_limits<float>::max());
    for (int32_t i = 0; i < batch.bias_count; ++i) {
      const LogitBias& bias = batch.biases[i];
      if (bias.row == row && bias.token == token) logit += bias.bias;
    }
    if (params.slot >= 0) {
      const uint32_t count = batch.counts[int64_t{params.slot} * batch.vocabulary + token];
      if ((count & 1) != 0) {
        logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
      }
      if (count > 1) {
        logit -= params.presence_penalty + params.frequency_penalty * static_cast<float>(count / 2);
      }
    }
    logits[static_cast<size_t>(token)] =
        params.temperature > 0 ? double{logit} / params.temperature : double{logit};
  }
  return logits;
}

// The lowest logit that is kept.
double Threshold(const SamplingRow& params, const std::vector<double>& logits) {
  std::vector<double> sorted = logits;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double largest = sorted.front();
  if (largest == kOut) return kOut;
  size_t kept = sorted.size();
  if (params.top_k > 0) kept = std::min(kept, static_cast<size_t>(params.top_k));
  while (kept < sorted.size() && sorted[kept] == sorted[kept - 1]) ++kept;  // ties
  double threshold = sorted[kept - 1];
  if (params.top_p < 1) {
    double total = 0;
    for (size_t i = 0; i < kept; ++i) total += std::exp(sorted[i] - largest);
    double sum = 0;
    for (size_t i = 0; i < kept && sum < params.top_p * total; ++i) {
      sum += std::exp(sorted[i] - largest);
      threshold = sorted[i];
    }
  }
  if (params.min_p > 0) threshold = std::max(threshold, largest + std::log(params.min_p));
  return threshold;
}

}  // namespace

int64_t SamplingBatch::PartialsPerRow(int32_t vocabulary) {
  // The threshold, padding, and per chunk of 4096 tokens its choice (8 bytes).
  return 2 + (int64_t{vocabulary} + 4095) / 4096 * 2;
}

void CountTokensReference(const TokenCounts& tokens) {
  for (int32_t i = 0; i < tokens.count; ++i) {
    if (tokens.SlotOf(i) < 0 || tokens.tokens[i] < 0) continue;
    uint32_t& count =
        tokens.counts[int64_t{tokens.SlotOf(i)} * tokens.vocabulary + tokens.tokens[i]];
    if (tokens.output) count += 2;
    count |= 1;
  }
}

std::vector<double> SamplingScoresReference(const SamplingBatch& batch, int32_t row) {
  const SamplingRow& params = batch.params[row];
  std::vector<double> scores = AdjustedLogits(batch, row);
  if (params.temperature == 0) return scores;
  const double threshold = Threshold(params, scores);
  for (int32_t token = 0; token < batch.vocabulary; ++token) {
    double& score = scores[static_cast<size_t>(token)];
    if (score < threshold || score == kOut) {
      score = kOut;
      continue;
    }
    const double share = NoiseShare(NoiseBits(params.seed, params.position, token));
    score -= std::log(-std::log1p(-share));
  }
  return scores;
}

}  // namespace spillway
