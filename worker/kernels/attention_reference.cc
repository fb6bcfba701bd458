#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/kernels/attention.h"
#include "worker/kernels/half.h"

namespace spillway {

void AttentionReference(const float* query, const KvLayer& kv, int32_t kv_head,
                        const int32_t* blocks, int32_t position, const AttentionScoring& scoring,
                        float* out) {
  const int32_t first = scoring.FirstVisible(position);
  std::vector<double> scores;
  for (int32_t p = first; p <= position; ++p) {
    const uint16_t* const keys = kv.keys + kv.OffsetOf(blocks[p / 16], kv_head);
    double score = 0;
    for (int32_t d = 0; d < scoring.head_size; ++d) {
      score += double{query[d]} * HalfToFloat(keys[d * 16 + p % 16]);
    }
    score *= scoring.scale;
    if (scoring.soft_cap > 0) score = scoring.soft_cap * std::tanh(score / scoring.soft_cap);
    scores.push_back(score);
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> sums(static_cast<size_t>(scoring.head_size));
  double total = 0;
  for (int32_t p = first; p <= position; ++p) {
    const double weight = std::exp(scores[static_cast<size_t>(p - first)] - largest);
    total += weight;
    const uint16_t* const values =
        kv.values + kv.OffsetOf(blocks[p / 16], kv_head) + int64_t{p % 16} * kv.head_size;
    for (size_t d = 0; d < sums.size(); ++d) sums[d] += weight * HalfToFloat(values[d]);
  }
  for (size_t d = 0; d < sums.size(); ++d) out[d] = static_cast<float>(sums[d] / total);
}

}  // namespace spillway
