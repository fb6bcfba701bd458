#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/model/model_spec.h"

namespace spillway {

// A model's sizes as the GPU's kernels want them. What goes beyond the model's own is zeros, which
// change nothing.
struct CudaDimensions {
  int32_t hidden = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_size = 0;     // one that prefill attention has
  int32_t intermediate = 0;  // a multiple of 8
  int32_t vocabulary = 0;    // rows of the head: a multiple of 8

  // UNIMPLEMENTED: a size that the kernels don't have, and which they do.
  static absl::StatusOr<CudaDimensions> For(const ModelSpec& spec);

  int32_t query_size() const { return heads * head_size; }
  int32_t qkv_size() const { return (heads + 2 * kv_heads) * head_size; }
  bool operator==(const CudaDimensions&) const = default;
};

// The rows of a batch that take part in matrix products: `rows` or some more, so that products have
// few shapes (each has its own algorithm).
int32_t ProductRows(int32_t rows);

}  // namespace spillway
