#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/kernels/paged_attention_cuda.h"

namespace spillway {
namespace {

// One query head at position length - 1, in double.
void Attend(const AttentionScoring& scoring, const PagedKvCuda& kv, const BlockTableCuda& table,
            int32_t sequence, int32_t kv_head, int32_t length, const uint16_t* query,
            uint16_t* out) {
  std::vector<double> weights(static_cast<size_t>(length));
  const int32_t first = scoring.FirstVisible(length - 1);
  const auto offset_of = [&](int32_t p) {
    return kv.OffsetOf(table.BlockOf(sequence, p), kv_head, p % kKvBlockTokens);
  };
  double largest = -INFINITY;
  for (int32_t p = first; p < length; ++p) {
    double score = 0;
    for (int32_t d = 0; d < kv.head_size; ++d) {
      score += double{ToFloat(kv.type, query[d])} * ToFloat(kv.type, kv.keys[offset_of(p) + d]);
    }
    score *= scoring.scale;
    if (scoring.soft_cap > 0) score = scoring.soft_cap * std::tanh(score / scoring.soft_cap);
    weights[static_cast<size_t>(p)] = score;
    largest = std::max(largest, score);
  }
  std::vector<double> sums(static_cast<size_t>(kv.head_size));
  double total = 0;
  for (int32_t p = first; p < length; ++p) {
    const double weight = std::exp(weights[static_cast<size_t>(p)] - largest);
    total += weight;
    for (int32_t d = 0; d < kv.head_size; ++d) {
      sums[static_cast<size_t>(d)] += weight * ToFloat(kv.type, kv.values[offset_of(p) + d]);
    }
  }
  for (int32_t d = 0; d < kv.head_size; ++d) {
    const double value = length == 0 ? 0.0 : sums[static_cast<size_t>(d)] / total;
    out[d] = FromFloat(kv.type, static_cast<float>(value));
  }
}

}  // namespace

void DecodeAttentionReference(const DecodeAttention& attention) {
  const PagedKvCuda& kv = attention.kv;
  for (int32_t sequence = 0; sequence < attention.sequences; ++sequence) {
    for (int32_t head = 0; head < attention.heads; ++head) {
      const int64_t at = (int64_t{sequence} * attention.heads + head) * kv.head_size;
      Attend(attention.scoring, kv, attention.table, sequence,
             head / (attention.heads / kv.kv_heads), attention.lengths[sequence],
             attention.queries + at, attention.out + at);
    }
  }
}

void PrefillAttentionReference(const PrefillAttention& attention) {
  const PagedKvCuda& kv = attention.kv;
  for (int32_t sequence = 0; sequence < attention.sequences; ++sequence) {
    const int32_t end = attention.row_begins[sequence + 1];
    for (int32_t row = attention.row_begins[sequence]; row < end; ++row) {
      for (int32_t head = 0; head < attention.heads; ++head) {
        const int64_t at = (int64_t{row} * attention.heads + head) * kv.head_size;
        Attend(attention.scoring, kv, attention.table, sequence,
               head / (attention.heads / kv.kv_heads),
               attention.lengths[sequence] - (end - 1 - row), attention.queries + at,
               attention.out + at);
      }
    }
  }
}

}  // namespace spillway
