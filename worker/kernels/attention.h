#pragma once

#include <cstdint>

namespace spillway {

// Positions [s * 256, (s + 1) * 256) are split s, whatever the query: the unit of parallel work
// over a long context, and so a part of the arithmetic.
inline constexpr int32_t kAttentionSplitBlocks = 16;
inline constexpr int32_t kAttentionQueriesMax = 32;  // rows * group of one AttentionTile
inline constexpr int32_t kHeadSizeMax = 256;

// One layer's KV memory, in blocks of 16 tokens (kKvBlockTokens).
struct KvLayer {
  uint16_t* keys = nullptr;    // [kv_heads, head_size, 16] f16 of block 0: a lane is a token
  uint16_t* values = nullptr;  // [kv_heads, 16, head_size] f16 of block 0
  int64_t block_stride = 0;    // f16s from one block to the next, in both
  int32_t kv_head_count = 0;
  int32_t head_size = 0;  // a multiple of 16, at most kHeadSizeMax; zeros where a head is smaller

  int64_t OffsetOf(int64_t block, int32_t kv_head) const {
    return block * block_stride + int64_t{16} * kv_head * head_size;
  }
};

// Stores one head's key and value, [head_size] f32 each, as token `token` of a block: `keys` and
// `values` are where that block and head begin.
using StoreKeyValueKernel = void (*)(const float* key, const float* value, int32_t head_size,
                                     int32_t token, uint16_t* keys, uint16_t* values);

// Which positions a query sees and how it scores them.
struct AttentionScoring {
  float scale = 1;        // score = scale * q·k
  float soft_cap = 0;     // then soft_cap * tanh(score / soft_cap); 0: none
  int32_t window = 0;     // the query at position p sees (p - window, p]; 0: [0, p]
  int32_t head_size = 0;  // of queries; KvLayer's is this, rounded up to a multiple of 16

  // The first position that the query at `position` sees.
  constexpr int32_t FirstVisible(int32_t position) const {
    return window > 0 && position >= window ? position - window + 1 : 0;
  }
};

// Consecutive rows of one sequence, for some query heads of one KV head.
struct AttentionTile {
  const float* queries = nullptr;  // [rows, heads, head_size] f32, at the first row's first head of
                                   // this KV head; rows query_stride apart
  int64_t query_stride = 0;
  int32_t row_count = 0;       // row_count * group <= kAttentionQueriesMax
  int32_t group = 0;           // query heads
  int32_t first_position = 0;  // of row 0
  int32_t kv_head = 0;
  const int32_t* blocks = nullptr;  // position p lies in blocks[p / 16]
  AttentionScoring scoring;
};

// What a query has seen so far, as floats: [head_size] weighted sum of values, [16] sums of
// weights by lane, then the largest score; weights are relative to that.
constexpr int64_t AttentionStateSize(int32_t head_size) { return head_size + 32; }

// The states of one tile's queries [rows, group] over split `split`: online softmax over its
// blocks in order (https://arxiv.org/abs/2205.14135). The state of a row that sees nothing of the
// split is left as it is, and blocks that no row sees are not read. The queries are scaled; q·k in
// four sums, dimension d in sum d mod 4, added as (0 + 1) + (2 + 3).
using AttendSplitKernel = void (*)(const AttentionTile& tile, const KvLayer& kv, int32_t split,
                                   float* states);

// Adds the state of the next split to that of all splits before.
using MergeAttentionKernel = void (*)(const float* next, int32_t head_size, float* state);

// The attention output of one query, [head_size]: weighted sum / sum of weights.
using FinishAttentionKernel = void (*)(const float* state, int32_t head_size, float* out);

// The oracle: softmax in double for one query head, at `position`; out [scoring.head_size].
void AttentionReference(const float* query, const KvLayer& kv, int32_t kv_head,
                        const int32_t* blocks, int32_t position, const AttentionScoring& scoring,
                        float* out);

}  // namespace spillway
