#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/device/host_buffer.h"
#include "worker/kernels/attention.h"
#include "worker/model/model_spec.h"

namespace spillway {

// The keys and values of all sequences, f16, in blocks of 16 tokens that the scheduler's BlockIds
// index. It owns memory only: who uses which block is the scheduler's business. Untouched blocks
// take no memory.
//
// Layout: [blocks, layers] of [kv_heads, head_size, 16] keys, then [kv_heads, 16, head_size]
// values, head_size rounded up to a multiple of 16. A block's layers lie together, so that the
// memory touched grows with the blocks in use and not with the layers times a huge page.
class KvCache {
 public:
  // RESOURCE_EXHAUSTED: no memory.
  static absl::StatusOr<KvCache> Allocate(const ModelSpec& spec, int32_t block_count);

  // What one block takes over all layers.
  static int64_t BytesPerBlock(const ModelSpec& spec);

  int32_t block_count() const { return block_count_; }
  KvLayer layer(int32_t index);

 private:
  HostBuffer memory_;
  int32_t block_count_ = 0;
  int32_t kv_head_count_ = 0;
  int32_t head_size_ = 0;     // rounded up
  int64_t layer_halves_ = 0;  // of one layer's keys in one block, and of its values
  int64_t block_halves_ = 0;  // of one block
};

}  // namespace spillway
