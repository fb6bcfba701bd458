#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"
#include "worker/kernels/paged_kv_cuda.h"

namespace spillway {

// Attention over paged KV: softmax(q · k / sqrt(head_size)) · v for each query head, whose KV head
// is head / (heads / kv_heads). Position p sees positions [0, p] of its own sequence. Tokens beyond
// that are never read into a result: freed blocks may hold anything, not-a-number too.

// One query per sequence, split over the context so that few sequences still fill the device: split
// s covers positions [s * split_tokens, (s + 1) * split_tokens). The grid has room for splits_max
// of them whatever the lengths are, so that one CUDA graph serves all steps of a batch size.
struct DecodeAttention {
  int32_t sequences = 0;
  int32_t heads = 0;
  PagedKvCuda kv = {};  // its type is that of queries and out
  BlockTableCuda table = {};
  const int32_t* lengths = nullptr;   // [sequences]: positions seen; 0: padding, out is zeros
  const uint16_t* queries = nullptr;  // [sequences, heads, head_size]
  uint16_t* out = nullptr;            // [sequences, heads, head_size]
  int32_t split_tokens = 0;           // a multiple of kKvBlockTokens
  int32_t splits_max = 0;             // lengths are at most splits_max * split_tokens
  float* partials = nullptr;          // [PartialCount()] f32, scratch

  // Per sequence, head and split: the weighted sum of values, the largest score, the sum of
  // weights.
  int64_t PartialCount() const {
    return int64_t{sequences} * heads * splits_max * (kv.head_size + 2);
  }
};

// Device pointers, aligned to 16 bytes. A sequence's result doesn't depend on the others, nor on
// splits_max; it does depend on split_tokens.
absl::Status DecodeAttentionCuda(const Stream& stream, const DecodeAttention& attention);
void DecodeAttentionReference(const DecodeAttention& attention);

// Any number of queries per sequence: chunks of prompts, and single tokens among them.
struct PrefillAttention {
  int32_t sequences = 0;
  int32_t heads = 0;
  int32_t count_max = 0;  // the most rows of one sequence
  PagedKvCuda kv = {};    // head_size one of 16, 32, 64, 80, 96, 128
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
