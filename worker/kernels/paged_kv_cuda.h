#pragma once

#include <cstdint>

#include "worker/kernels/half.h"
#include "worker/kernels/numerics.h"

namespace spillway {

// One layer's KV memory on a device, in blocks of kKvBlockTokens tokens. A head's part of a block,
// [16, head_size], is contiguous: 4 KiB for heads of 128.
struct PagedKvCuda {
  HalfType type = HalfType::kBf16;
  int32_t kv_heads = 0;
  int32_t head_size = 0;       // a multiple of 16, at most 256
  uint16_t* keys = nullptr;    // [blocks, kv_heads, 16, head_size]
  uint16_t* values = nullptr;  // [blocks, kv_heads, 16, head_size]

  constexpr int64_t OffsetOf(int64_t block, int32_t kv_head, int32_t token) const {
    return ((block * kv_heads + kv_head) * kKvBlockTokens + token) * head_size;
  }
};

// Where sequences have their KV: position p of sequence s lies in block
// blocks[begins[s] + p / 16], as its token p % 16.
struct BlockTableCuda {
  const int32_t* blocks = nullptr;
  const int32_t* begins = nullptr;  // [sequences]

  constexpr int32_t BlockOf(int32_t sequence, int32_t position) const {
    return blocks[begins[sequence] + position / kKvBlockTokens];
  }
};

}  // namespace spillway
