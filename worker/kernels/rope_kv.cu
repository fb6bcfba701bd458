#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/rope_kv_cuda.h"

namespace spillway {
namespace {

constexpr int kWarps = 4;
constexpr int kHeadSizeMaxCuda = 256;

// One warp per row and head. Lane l has dimensions l, l + 32, …: a head is read once, into
// shared memory (a rotation's other half belongs to another lane).
template <HalfType kType>
__global__ __launch_bounds__(kWarps* kWarpSize) void RopeKvKernel(RopeKvRows rows) {
  __shared__ float shared[kWarps][kHeadSizeMaxCuda];
  const PagedKvCuda& kv = rows.kv;
  const int heads_all = rows.heads + 2 * kv.kv_heads;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int head = static_cast<int>(blockIdx.y) * kWarps + warp;
  const int row = static_cast<int>(blockIdx.x);
  const int sequence = rows.sequences[row];
  if (head >= heads_all || sequence < 0) return;  // whole warps: no barrier below spans them

  const bool is_query = head < rows.heads;
  const bool is_value = head >= rows.heads + kv.kv_heads;
  const uint16_t* const from = rows.qkv + (int64_t{row} * heads_all + head) * kv.head_size;
  float squares = 0;
  float* const x = shared[warp];
  for (int d = lane; d < kv.head_size; d += kWarpSize) {
    float value = LoadHalf<kType>(from[d]);
    if (rows.bias != nullptr) value += rows.bias[head * kv.head_size + d];
    squares = fmaf(value, value, squares);
    x[d] = value;
  }

  const float* const norm = is_query ? rows.query_norm : rows.key_norm;
  if (norm != nullptr && !is_value) {
    const int size = rows.norm_size > 0 ? rows.norm_size : kv.head_size;
    const float mean = WarpSum(squares) / static_cast<float>(size);
    const float scale = 1.0f / sqrtf(mean + rows.norm_epsilon);
    for (int d = lane; d < kv.head_size; d += kWarpSize) x[d] *= scale * norm[d];
  }
  __syncwarp();

  const int position = rows.positions[row];
  uint16_t* out = rows.queries + (int64_t{row} * rows.heads + head) * kv.head_size;
  if (!is_query) {
    const int kv_head = (head - rows.heads) % kv.kv_heads;
    const int block = rows.table.BlockOf(sequence, position);
    out = (is_value ? kv.values : kv.keys) + kv.OffsetOf(block, kv_head, position % kKvBlockTokens);
  }
  const int half = rows.rope_size / 2;
  const float* const cosines = rows.angles + int64_t{position} * rows.rope_size;
  const float* const sines = cosines + half;
  for (int d = lane; d < kv.head_size; d += kWarpSize) {
    float value = x[d];
    if (!is_value && d < half) {
      value = x[d] * cosines[d] - x[d + half] * sines[d];
    } else if (!is_value && d < rows.rope_size) {
      value = x[d - half] * sines[d - half] + x[d] * cosines[d - half];
    }
    out[d] = StoreHalf<kType>(value);
  }
}

}  // namespace

absl::Status RopeKvCuda(const Stream& stream, const RopeKvRows& rows) {
  CHECK(rows.kv.head_size <= kHeadSizeMaxCuda && rows.rope_size <= rows.kv.head_size);
  CHECK(rows.rope_size % 2 == 0);
  if (rows.rows == 0) return absl::OkStatus();
  const int32_t heads_all = rows.heads + 2 * rows.kv.kv_heads;
  const dim3 grid(static_cast<unsigned>(rows.rows),
                  static_cast<unsigned>((heads_all + kWarps - 1) / kWarps));
  if (rows.kv.type == HalfType::kF16) {
    RopeKvKernel<HalfType::kF16><<<grid, kWarps * kWarpSize, 0, stream.handle()>>>(rows);
  } else {
    RopeKvKernel<HalfType::kBf16><<<grid, kWarps * kWarpSize, 0, stream.handle()>>>(rows);
  }
  return LaunchStatus("rope_kv", {rows.rows, rows.heads, rows.kv.kv_heads, rows.kv.head_size});
}

}  // namespace spillway
