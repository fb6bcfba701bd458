#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/cuda/cuda_dimensions.h"
#include "worker/device/device_buffer.h"
#include "worker/kernels/paged_kv_cuda.h"

namespace spillway {

// The keys and values of all sequences on the device, in blocks of 16 tokens that the scheduler's
// BlockIds index. It owns memory only: who uses which block is the scheduler's business.
//
// Layout: [layers] of keys [blocks, kv_heads, 16, head_size], then values likewise.
class CudaKvCache {
 public:
  CudaKvCache() = default;

  // RESOURCE_EXHAUSTED: the device has no room.
  static absl::StatusOr<CudaKvCache> Allocate(const CudaDimensions& dimensions, HalfType type,
                                              int32_t layer_count, int32_t block_count) {
    CudaKvCache cache;
    cache.shape_ = {
        .type = type, .kv_heads = dimensions.kv_heads, .head_size = dimensions.head_size};
    cache.layer_values_ = cache.shape_.OffsetOf(block_count, 0, 0);
    ASSIGN_OR_RETURN(cache.memory_,
                     DeviceBuffer<uint16_t>::Allocate(2 * layer_count * cache.layer_values_));
    return cache;
  }

  // What one block takes over all layers.
  static int64_t BytesPerBlock(const CudaDimensions& dimensions, int32_t layer_count) {
    const PagedKvCuda shape = {.kv_heads = dimensions.kv_heads, .head_size = dimensions.head_size};
    return 2 * layer_count * shape.OffsetOf(1, 0, 0) * static_cast<int64_t>(sizeof(uint16_t));
  }

  PagedKvCuda layer(int32_t index) const {
    PagedKvCuda layer = shape_;
    layer.keys = memory_.data() + 2 * index * layer_values_;
    layer.values = layer.keys + layer_values_;
    return layer;
  }

 private:
  DeviceBuffer<uint16_t> memory_;
  PagedKvCuda shape_;
  int64_t layer_values_ = 0;  // of the keys of all blocks
};

}  // namespace spillway
