#include "worker/cuda/cuda_dimensions.h"

#include <algorithm>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

constexpr int32_t kHiddenSizeMax = 16'384;  // kRmsNormColumnsMax of worker/kernels/rms_norm_cuda.h
constexpr int32_t kAlignment = 8;           // 16-bit values in a 16-byte load
constexpr int32_t kGemvRows = 8;            // kGemvRowsMax of worker/kernels/linear_cuda.h

// kPrefillHeadSizes of worker/kernels/paged_attention_cuda.h.
constexpr int32_t kHeadSizes[] = {16, 32, 64, 80, 96, 128, 256};

int32_t RoundUp(int32_t value, int32_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

absl::StatusOr<CudaDimensions> CudaDimensions::For(const ModelSpec& spec) {
  if (spec.hidden_size % kAlignment != 0 || spec.hidden_size > kHiddenSizeMax) {
    return absl::UnimplementedError(absl::StrCat(
        spec.name, " has a hidden size of ", spec.hidden_size,
        "; the CUDA kernels need a multiple of ", kAlignment, " up to ", kHiddenSizeMax));
  }
  const int32_t* const head_size = std::ranges::lower_bound(kHeadSizes, spec.head_size);
  if (head_size == std::end(kHeadSizes)) {
    return absl::UnimplementedError(absl::StrCat(spec.name, " has heads of ", spec.head_size,
                                                 " values; the CUDA kernels have up to ",
                                                 kHeadSizes[std::size(kHeadSizes) - 1]));
  }
  return CudaDimensions{.hidden = spec.hidden_size,
                        .heads = spec.head_count,
                        .kv_heads = spec.kv_head_count,
                        .head_size = *head_size,
                        .intermediate = RoundUp(spec.intermediate_size, kAlignment),
                        .vocabulary = RoundUp(spec.vocabulary_size, kAlignment)};
}

int32_t ProductRows(int32_t rows) {
  if (rows <= kGemvRows) return rows;
  if (rows <= 64) return RoundUp(rows, 16);
  if (rows <= 512) return RoundUp(rows, 64);
  return RoundUp(rows, 128);
}

}  // namespace spillway
