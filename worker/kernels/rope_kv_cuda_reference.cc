#include <vector>

#include "worker/kernels/rms_norm.h"
#include "worker/kernels/rope.h"
#include "worker/kernels/rope_kv_cuda.h"

namespace spillway {

void RopeKvReference(const RopeKvRows& rows) {
  const PagedKvCuda& kv = rows.kv;
  const int32_t heads_all = rows.heads + 2 * kv.kv_heads;
  std::vector<float> x(static_cast<size_t>(kv.head_size));
  for (int32_t row = 0; row < rows.rows; ++row) {
    if (rows.sequences[row] < 0) continue;
    const int32_t position = rows.positions[row];
    const int32_t block = rows.table.BlockOf(rows.sequences[row], position);
    for (int32_t head = 0; head < heads_all; ++head) {
      const int64_t from = (int64_t{row} * heads_all + head) * kv.head_size;
      for (int32_t d = 0; d < kv.head_size; ++d) {
        x[static_cast<size_t>(d)] = ToFloat(kv.type, rows.qkv[from + d]);
        if (rows.bias != nullptr) x[static_cast<size_t>(d)] += rows.bias[head * kv.head_size + d];
      }
      const bool is_query = head < rows.heads;
      const bool is_value = head >= rows.heads + kv.kv_heads;
      if (!is_value) {
        const float* const norm = is_query ? rows.query_norm : rows.key_norm;
        if (norm != nullptr) {
          const int32_t size = rows.norm_size > 0 ? rows.norm_size : kv.head_size;
          RmsNormReference(x.data(), norm, size, rows.norm_epsilon, x.data());
        }
        RopeReference(rows.angles + int64_t{position} * rows.rope_size, rows.rope_size, x.data());
      }
      uint16_t* out = rows.queries + (int64_t{row} * rows.heads + head) * kv.head_size;
      if (!is_query) {
        const int32_t kv_head = (head - rows.heads) % kv.kv_heads;
        out = (is_value ? kv.values : kv.keys) +
              kv.OffsetOf(block, kv_head, position % kKvBlockTokens);
      }
      for (int32_t d = 0; d < kv.head_size; ++d) {
        out[d] = FromFloat(kv.type, x[static_cast<size_t>(d)]);
      }
    }
  }
}

}  // namespace spillway
