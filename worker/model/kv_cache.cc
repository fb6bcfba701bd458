#include "worker/model/kv_cache.h"

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

int32_t PaddedHeadSize(const ModelSpec& spec) { return (spec.head_size + 15) / 16 * 16; }

}  // namespace

int64_t KvCache::BytesPerBlock(const ModelSpec& spec) {
  return int64_t{2} * spec.layer_count * spec.kv_head_count * PaddedHeadSize(spec) *
         kKvBlockTokens * static_cast<int64_t>(sizeof(uint16_t));
}

absl::StatusOr<KvCache> KvCache::Allocate(const ModelSpec& spec, int32_t block_count) {
  CHECK(block_count > 0);
  KvCache cache;
  ASSIGN_OR_RETURN(cache.memory_, HostBuffer::Allocate(BytesPerBlock(spec) * block_count));
  cache.block_count_ = block_count;
  cache.kv_head_count_ = spec.kv_head_count;
  cache.head_size_ = PaddedHeadSize(spec);
  cache.layer_halves_ = int64_t{spec.kv_head_count} * cache.head_size_ * kKvBlockTokens;
  cache.block_halves_ = int64_t{2} * spec.layer_count * cache.layer_halves_;
  return cache;
}

KvLayer KvCache::layer(int32_t index) {
  uint16_t* const keys = memory_.As<uint16_t>() + int64_t{2} * index * layer_halves_;
  return {.keys = keys,
          .values = keys + layer_halves_,
          .block_stride = block_halves_,
          .kv_head_count = kv_head_count_,
          .head_size = head_size_};
}

}  // namespace spillway
