#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/kernels/text_attention.h"

namespace spillway {

void AttendTextReference(const TextAttention& attention) {
  const auto tokens = static_cast<size_t>(attention.token_count);
  const auto size = static_cast<size_t>(attention.head_size);
  const auto stride = static_cast<size_t>(attention.stride);
  std::vector<double> scores(tokens);
  for (size_t query = 0; query < tokens; ++query) {
    for (size_t token = 0; token < tokens; ++token) {
      double dot = 0;
      for (size_t d = 0; d < size; ++d) {
        dot += double{attention.queries[query * stride + d]} * attention.keys[token * stride + d];
      }
      scores[token] = dot / std::sqrt(static_cast<double>(size));
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (double& score : scores) total += score = std::exp(score - largest);
    for (size_t d = 0; d < size; ++d) {
      double sum = 0;
      for (size_t token = 0; token < tokens; ++token) {
        sum += scores[token] / total * attention.values[token * stride + d];
      }
      attention.out[query * static_cast<size_t>(attention.out_stride) + d] =
          static_cast<float>(sum);
    }
  }
}

}  // namespace spillway
