#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"
#include "worker/kernels/paged_kv_cuda.h"

namespace spillway {

// What lies between the QKV product and attention, for all rows of a step: bias, per-head RMSNorm
// of queries and keys (Qwen3), rotary embedding, and the write of keys and values into the cache.
struct RopeKvRows {
  int32_t rows = 0;
  int32_t heads = 0;
  int32_t rope_size = 0;          // even, at most head_size; pairs are (i, i + rope_size / 2)
  const uint16_t* qkv = nullptr;  // [rows, heads + 2 * kv_heads, head_size]: queries, keys, values
  const float* bias = nullptr;    // [heads + 2 * kv_heads, head_size] f32; nullptr: none
  const float* query_norm = nullptr;  // [head_size] f32; nullptr: none
  const float* key_norm = nullptr;    // [head_size] f32; nullptr: none
  float norm_epsilon = 0;
  int32_t norm_size = 0;               // how many of a head's values are more than padding; 0: all
  const float* angles = nullptr;       // [positions, 2, rope_size / 2] f32: MakeRopeTable()
  const int32_t* positions = nullptr;  // [rows]
  const int32_t* sequences = nullptr;  // [rows]; -1: padding, whose row nothing reads or writes
  BlockTableCuda table = {};
  PagedKvCuda kv = {};          // its type is that of qkv and queries
  uint16_t* queries = nullptr;  // [rows, heads, head_size]
};

// Device pointers. Rows of one step must be different (sequence, position) pairs.
absl::Status RopeKvCuda(const Stream& stream, const RopeKvRows& rows);

// The oracle, over host pointers.
void RopeKvReference(const RopeKvRows& rows);

}  // namespace spillway
