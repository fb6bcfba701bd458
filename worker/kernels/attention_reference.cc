#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/kernels/attention.h"
#include "worker/kernels/half.h"

namespace spillway {

void AttentionReference(const float* query, const KvLayer& kv, int32_t kv_head,
                        const int32_t* blocks, int32_t position, float* out) {
  std::vector<double> weights;
  double largest = -INFINITY;
  for (int32_t p = 0; p <= position; ++p) {
    const uint16_t* const keys = kv.keys + kv.OffsetOf(blocks[p / 16], kv_head);
    double score = 0;
    for (int32_t d = 0; d < kv.head_size; ++d) {
      score += double{query[d]} * HalfToFloat(keys[d * 16 + p % 16]);
    }
    weights.push_back(score / std::sqrt(double{static_cast<float>(kv.head_size)}));
    largest = std::max(largest, weights.back());
  }
  std::vector<double> sums(static_cast<size_t>(kv.head_size));
  double total = 0;
  for (int32_t p = 0; p <= position; ++p) {
    const double weight = std::exp(weights[static_cast<size_t>(p)] - largest);
    total += weight;
    const uint16_t* const values =
        kv.values + kv.OffsetOf(blocks[p / 16], kv_head) + int64_t{p % 16} * kv.head_size;
    for (int32_t d = 0; d < kv.head_size; ++d) {
      sums[static_cast<size_t>(d)] += weight * HalfToFloat(values[d]);
    }
  }
  for (int32_t d = 0; d < kv.head_size; ++d) {
    out[d] = static_cast<float>(sums[static_cast<size_t>(d)] / total);
  }
}

}  // namespace spillway
