#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/half.h"
#include "worker/kernels/paged_kv_cuda.h"

namespace spillway {

// Attention over paged KV: softmax(scores) · v for each query head, whose KV head is
// head / (heads / kv_heads). Which positions of its own sequence a query sees, and how q · k
// becomes a score, is what AttentionScoring says (its head_size isn't read: heads may have zeros at
// their ends, of which the scale knows nothing). Tokens that a query doesn't see are never read
// into a result: freed blocks may hold anything, not-a-number too.

// A part of a sequence's context: positions [split * split_tokens, (split + 1) * split_tokens).
struct DecodeUnit {
  int32_t sequence = -1;  // -1: padding
  int32_t split = 0;
};
// Adds the units of a sequence of `length` positions.
inline void AddDecodeUnits(int32_t sequence, int32_t length, int32_t split_tokens,
                           std::vector<DecodeUnit>& units) {
  for (int32_t split = 0; split * split_tokens < length; ++split)
    units.push_back({sequence, split});
}

// One query per sequence, split over the context so that few sequences still fill the device. The
// splits of all sequences are one list of units: a batch's work is the sum of its contexts and not
// its size times the longest. Lists may end in padding, so that one CUDA graph serves all steps of
// about a size.
struct DecodeAttention {
  int32_t sequences = 0;
  int32_t heads = 0;
  AttentionScoring scoring;
  PagedKvCuda kv = {};  // its type is that of queries and out
  BlockTableCuda table = {};
  const int32_t* lengths = nullptr;   // [sequences]: positions seen; 0: padding, out is zeros
  const uint16_t* queries = nullptr;  // [sequences, heads, head_size]
  uint16_t* out = nullptr;            // [sequences, heads, head_size]
  int32_t split_tokens = 0;           // a multiple of kKvBlockTokens
  int32_t unit_count = 0;
  const DecodeUnit* units = nullptr;     // [unit_count]: a sequence's in order, none left out
  const int32_t* first_units = nullptr;  // [sequences]: where in `units` each one's are
  float* partials = nullptr;             // [PartialCount()] f32, scratch

  // Per unit and head: the weighted sum of values, the largest score, the sum of weights.
  int64_t PartialCount() const { return int64_t{unit_count} * heads * (kv.head_size + 2); }
};

// Device pointers, aligned to 16 bytes. A sequence's result doesn't depend on the others; it does
// depend on split_tokens.
absl::Status DecodeAttentionCuda(const Stream& stream, const DecodeAttention& attention);
void DecodeAttentionReference(const DecodeAttention& attention);

inline constexpr int32_t kPrefillHeadSizes[] = {16, 32, 64, 80, 96, 128, 256};

// Any number of queries per sequence: chunks of prompts, and single tokens among them.
struct PrefillAttention {
  int32_t sequences = 0;
  int32_t heads = 0;
  int32_t count_max = 0;  // the most rows of one sequence
  AttentionScoring scoring;
  PagedKvCuda kv = {};  // head_size one of kPrefillHeadSizes
  BlockTableCuda table = {};
  const int32_t* row_begins = nullptr;  // [sequences + 1]: rows [row_begins[s], row_begins[s + 1])
  const int32_t* lengths = nullptr;   // [sequences]: positions of KV, its rows being the last ones
  const uint16_t* queries = nullptr;  // [rows, heads, head_size]
  uint16_t* out = nullptr;            // [rows, heads, head_size]
};

// Device pointers, aligned to 16 bytes. A row's result doesn't depend on how the prompt is cut into
// chunks up to the rounding of probabilities to 16 bits. UNIMPLEMENTED: another head size.
absl::Status PrefillAttentionCuda(const Stream& stream, const PrefillAttention& attention);
void PrefillAttentionReference(const PrefillAttention& attention);

}  // namespace spillway
