#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/sampling/candidates.h"
#include "worker/sampling/penalties.h"
#include "worker/sampling/sampling_params.h"

namespace spillway {

// Chooses the next token from one row of logits.
//
// The choice depends on the arguments alone: not on thread, batch, or what was sampled before.
//   1. The request's penalties (penalties.h).
//   2. temperature 0: the likeliest, the lowest id of equals. Else weights are exp(logit /
//      temperature), in units of the largest (logit_weights.h).
//   3. top_k keeps the k with the highest logits; top_p then the fewest of the heaviest that have
//      at least top_p of the weight kept by top_k; min_p then those of at least min_p times the
//      heaviest. Of equals the lower ids go first. The heaviest is always kept. The order is
//      transformers'.
//   4. The draw (draw.h) points at one of them, laid out by id.
// NaN and -infinity are never chosen; +infinity counts as the largest float.
//
// Not thread-safe: one for each thread that samples. After construction it allocates nothing.
class Sampler {
 public:
  explicit Sampler(int32_t vocabulary_size);  // Requires 0 < vocabulary_size <= 2^20.

  // `logits`: [vocabulary_size]. `position` is the new token's place in the sequence. Requires
  // valid params and token ids in the vocabulary. `allowed`: a bit for each token, in words of 32,
  // the first token in the lowest: only those that are set may be chosen. Empty: any.
  // INTERNAL: no token can be chosen, since every logit is NaN or -infinity or its token not
  // allowed.
  absl::StatusOr<TokenId> Sample(std::span<const float> logits, const SamplingParams& params,
                                 const TokenHistory& history, std::span<const TokenId> banned,
                                 int64_t position, std::span<const int32_t> allowed = {});

 private:
  // Steps 3 and 4. -1 when nothing can be chosen.
  TokenId Choose(std::span<const float> logits, const SamplingParams& params, int64_t position);
  // The k highest logits, as weights, into candidates_.
  void GatherTopK(std::span<const float> logits, size_t k, float max, float temperature);
  // Those of weights_ that weigh at least `lowest`, into candidates_.
  void GatherWeights(float lowest);
  // The token in weights_ or in candidates_ at which the share `draw` of their sum falls.
  TokenId DrawFromWeights(double draw, double total) const;
  TokenId DrawFromCandidates(double draw) const;

  const int32_t vocabulary_size_;
  Penalties penalties_;
  // Scratch of one call.
  std::vector<float> adjusted_;        // [vocabulary]
  std::vector<float> weights_;         // [vocabulary]
  std::vector<float> block_maxima_;    // [blocks]
  std::vector<float> sorted_maxima_;   // [blocks]
  std::vector<double> block_sums_;     // [blocks] of weights_
  std::vector<Candidate> candidates_;  // by id
  std::vector<Candidate> scratch_;
};

}  // namespace spillway
