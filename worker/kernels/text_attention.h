#pragma once

#include <cstdint>

namespace spillway {

// One head's attention over one whole text, in both directions: what encoders do.
struct TextAttention {
  // [tokens, head_size] f32 each, rows `stride` apart.
  const float* queries = nullptr;
  const float* keys = nullptr;
  const float* values = nullptr;
  int64_t stride = 0;
  int32_t token_count = 0;   // > 0
  int32_t head_size = 0;     // > 0
  float* scratch = nullptr;  // TextAttentionScratch() floats
  float* out = nullptr;      // [tokens, head_size] f32, rows out_stride apart
  int64_t out_stride = 0;
};

// Both sizes rounded up to lanes: keys turned around, values, the weights of one query.
constexpr int64_t TextAttentionScratch(int32_t token_count, int32_t head_size) {
  const int64_t tokens = (int64_t{token_count} + 15) / 16 * 16;
  const int64_t columns = (int64_t{head_size} + 15) / 16 * 16;
  return tokens * (2 * columns + 1) + columns;
}

// out[t] = sum over u of softmax_u(q[t]·k[u] / sqrt(head_size)) * v[u]. A text's result depends on
// that text alone; the sums go over dimensions and tokens in order.
using AttendTextKernel = void (*)(const TextAttention& attention);

void AttendTextReference(const TextAttention& attention);

}  // namespace spillway
