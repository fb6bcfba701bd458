#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/cuda_mma.cuh"
#include "worker/kernels/paged_attention_cuda.h"

// FlashAttention-2's forward loop (https://arxiv.org/abs/2307.08691, algorithm 1) over paged KV: a
// block has 64 rows of one query head, each of its warps 16 of them; keys and values come through
// shared memory 64 tokens at a time (32 of large heads), and both products run on tensor cores
// (m16n8k16). Scores are in units of log2, for exp2f.

namespace spillway {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kWarpRows = 16;
constexpr int kBlockRows = kWarps * kWarpRows;
constexpr int kLargeHead = 128;  // above it, tiles are half as long and queries stay in memory
constexpr float kLog2E = 1.4426950408889634f;

// Rows of shared memory are padded by 16 bytes: eight of them then start in different banks.
template <int kHeadSize>
struct Tile {
  static constexpr int kTokens = kHeadSize > kLargeHead ? 32 : 64;
  uint16_t keys[kTokens][kHeadSize + 8];
  uint16_t values[kTokens][kHeadSize + 8];
};

// Copies tokens [begin, begin + kTokens) of a KV head; those from `end` on become zeros, since 0
// times what a freed block holds need not be 0.
template <int kHeadSize>
__device__ __forceinline__ void LoadTile(const PrefillAttention& attention, int sequence,
                                         int kv_head, int begin, int end, Tile<kHeadSize>& tile) {
  constexpr int kPieces = kHeadSize / 8;
  for (int index = static_cast<int>(threadIdx.x); index < tile.kTokens * kPieces;
       index += kThreads) {
    const int token = index / kPieces;
    const int d = index % kPieces * 8;
    const int position = begin + token;
    uint4 key = {0, 0, 0, 0};
    uint4 value = {0, 0, 0, 0};
    if (position < end) {
      const int64_t at = attention.kv.OffsetOf(attention.table.BlockOf(sequence, position), kv_head,
                                               position % kKvBlockTokens) +
                         d;
      key = Load16(attention.kv.keys + at);
      value = Load16(attention.kv.values + at);
    }
    *reinterpret_cast<uint4*>(&tile.keys[token][d]) = key;
    *reinterpret_cast<uint4*>(&tile.values[token][d]) = value;
  }
}

// A warp's 16 rows. A lane has rows lane / 4 and lane / 4 + 8 (index 0 and 1) of every fragment.
template <int kHeadSize>
struct RowState {
  float out[kHeadSize / 8][4] = {};
  float largest[2] = {-INFINITY, -INFINITY};
  float total[2] = {0, 0};  // of this lane's columns; summed over the four lanes at the end
};

// A warp's queries as operands of the product: two rows of each lane.
template <int kHeadSize>
struct Queries {
  static constexpr bool kInRegisters = kHeadSize <= kLargeHead;
  const uint16_t* at[2];
  uint32_t fragments[kInRegisters ? kHeadSize / 16 : 1][4];

  __device__ __forceinline__ void Read(int k, uint32_t (&fragment)[4]) const {
    const int d = k * 16 + static_cast<int>(threadIdx.x) % kWarpSize % 4 * 2;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      fragment[i] = *reinterpret_cast<const uint32_t*>(at[i % 2] + d + i / 2 * 8);
    }
  }
  __device__ __forceinline__ void Keep() {
    if constexpr (kInRegisters) {
#pragma unroll
      for (int k = 0; k < kHeadSize / 16; ++k) Read(k, fragments[k]);
    }
  }
};

// x's hyperbolic tangent, some 1e-7 off: shorter than tanhf, which unrolled 32 times spills.
__device__ __forceinline__ float Tanh(float x) {
  return 1.0f - 2.0f / (1.0f + exp2f(2.0f * kLog2E * x));
}

// scores = queries · keysᵀ of one tile.
template <HalfType kType, int kHeadSize, int kTokens>
__device__ __forceinline__ void Score(const Tile<kHeadSize>& tile,
                                      const Queries<kHeadSize>& queries,
                                      const AttentionScoring& scoring, int tile_begin,
                                      const int (&positions)[2], float (&scores)[kTokens / 8][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int n = 0; n < kTokens / 8; ++n) {
    scores[n][0] = scores[n][1] = scores[n][2] = scores[n][3] = 0;
  }
  // Queries that are read as they are needed must not all be asked for at once: they would spill.
  constexpr int kUnroll = Queries<kHeadSize>::kInRegisters ? kHeadSize / 16 : 2;
#pragma unroll kUnroll
  for (int k = 0; k < kHeadSize / 16; ++k) {
    uint32_t read[4];
    if constexpr (!Queries<kHeadSize>::kInRegisters) queries.Read(k, read);
    const int d = k * 16 + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
      const uint16_t* const key = tile.keys[n * 8 + lane / 4] + d;
      const uint32_t b[2] = {*reinterpret_cast<const uint32_t*>(key),
                             *reinterpret_cast<const uint32_t*>(key + 8)};
      if constexpr (Queries<kHeadSize>::kInRegisters) {
        Mma16x8x16<kType>(queries.fragments[k], b, scores[n]);
      } else {
        Mma16x8x16<kType>(read, b, scores[n]);
      }
    }
  }
  // In units of log2, and -infinity where a query doesn't see the key.
  const float scale =
      scoring.soft_cap > 0 ? scoring.scale / scoring.soft_cap : scoring.scale * kLog2E;
  const int first_visible[2] = {scoring.FirstVisible(positions[0]),
                                scoring.FirstVisible(positions[1])};
#pragma unroll
  for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float score = scores[n][i] * scale;
      if (scoring.soft_cap > 0) score = scoring.soft_cap * kLog2E * Tanh(score);
      const int key = tile_begin + n * 8 + lane % 4 * 2 + i % 2;
      const bool seen = key <= positions[i / 2] && key >= first_visible[i / 2];
      scores[n][i] = seen ? score : -INFINITY;
    }
  }
}

// Turns scores into weights relative to the new largest score, and rescales what was summed before.
template <int kHeadSize, int kTokens>
__device__ __forceinline__ void Weigh(float (&scores)[kTokens / 8][4], RowState<kHeadSize>& state) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = state.largest[r];
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
      largest = fmaxf(largest, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
    }
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
    // Nothing seen yet: -infinity minus itself must not become not-a-number.
    const float base = largest == -INFINITY ? 0.0f : largest;
    const float factor = exp2f(state.largest[r] - base);
    state.largest[r] = largest;
    state.total[r] *= factor;
#pragma unroll
    for (int n = 0; n < kHeadSize / 8; ++n) {
      state.out[n][2 * r] *= factor;
      state.out[n][2 * r + 1] *= factor;
    }
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
      for (int i = 2 * r; i < 2 * r + 2; ++i) {
        scores[n][i] = exp2f(scores[n][i] - base);
        state.total[r] += scores[n][i];
      }
    }
  }
}

// out += weights · values. The accumulator's layout of two score fragments is the operand's of one
// weight fragment, so that weights stay in registers.
template <HalfType kType, int kHeadSize, int kTokens>
__device__ __forceinline__ void AddValues(const Tile<kHeadSize>& tile,
                                          const float (&weights)[kTokens / 8][4],
                                          RowState<kHeadSize>& state) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int k = 0; k < kTokens / 16; ++k) {
    const float(&left)[4] = weights[2 * k];
    const float(&right)[4] = weights[2 * k + 1];
    const uint32_t a[4] = {PackPair<kType>(left[0], left[1]), PackPair<kType>(left[2], left[3]),
                           PackPair<kType>(right[0], right[1]),
                           PackPair<kType>(right[2], right[3])};
#pragma unroll
    for (int n = 0; n < kHeadSize / 8; n += 2) {
      // Lanes 0–15 name 16 tokens' rows at column 8n, lanes 16–31 the same at column 8n + 8.
      uint32_t b[4];
      LoadMatricesTransposed(&tile.values[k * 16 + lane % 16][n * 8 + lane / 16 * 8], b);
      const uint32_t first[2] = {b[0], b[1]};
      const uint32_t second[2] = {b[2], b[3]};
      Mma16x8x16<kType>(a, first, state.out[n]);
      Mma16x8x16<kType>(a, second, state.out[n + 1]);
    }
  }
}

template <HalfType kType, int kHeadSize>
__global__ __launch_bounds__(kThreads) void PrefillKernel(PrefillAttention attention) {
  constexpr int kTokens = Tile<kHeadSize>::kTokens;
  __shared__ __align__(16) Tile<kHeadSize> tile;
  const int sequence = static_cast<int>(blockIdx.z);
  const int head = static_cast<int>(blockIdx.y);
  const int row_begin = attention.row_begins[sequence];
  const int count = attention.row_begins[sequence + 1] - row_begin;
  // The last rows see most: they start first.
  const int block_begin = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kBlockRows;
  if (block_begin >= count) return;  // the whole block
  const int kv_head = head / (attention.heads / attention.kv.kv_heads);
  const int first_position = attention.lengths[sequence] - count;

  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp_begin = block_begin + static_cast<int>(threadIdx.x) / kWarpSize * kWarpRows;
  int rows[2];
  int positions[2];
  Queries<kHeadSize> queries;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    rows[r] = warp_begin + lane / 4 + 8 * r;
    // Rows beyond the last repeat it and are not written.
    const int row = min(rows[r], count - 1);
    positions[r] = first_position + row;
    queries.at[r] = attention.queries +
                    (static_cast<int64_t>(row_begin + row) * attention.heads + head) * kHeadSize;
  }
  queries.Keep();

  const AttentionScoring& scoring = attention.scoring;
  const int end = first_position + min(block_begin + kBlockRows, count);
  const int first = scoring.FirstVisible(first_position + block_begin) / kTokens * kTokens;
  RowState<kHeadSize> state;
  for (int begin = first; begin < end; begin += kTokens) {
    __syncthreads();  // all warps are done with the tile before
    LoadTile<kHeadSize>(attention, sequence, kv_head, begin, end, tile);
    __syncthreads();
    float scores[kTokens / 8][4];
    Score<kType, kHeadSize, kTokens>(tile, queries, scoring, begin, positions, scores);
    Weigh<kHeadSize, kTokens>(scores, state);
    AddValues<kType, kHeadSize, kTokens>(tile, scores, state);
  }

#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float total = state.total[r];
    total += __shfl_xor_sync(kAllLanes, total, 1);
    total += __shfl_xor_sync(kAllLanes, total, 2);
    if (rows[r] >= count) continue;
    uint16_t* const out =
        attention.out +
        (static_cast<int64_t>(row_begin + rows[r]) * attention.heads + head) * kHeadSize;
#pragma unroll
    for (int n = 0; n < kHeadSize / 8; ++n) {
      *reinterpret_cast<uint32_t*>(out + n * 8 + lane % 4 * 2) =
          PackPair<kType>(state.out[n][2 * r] / total, state.out[n][2 * r + 1] / total);
    }
  }
}

template <int kHeadSize>
void LaunchPrefill(const Stream& stream, const PrefillAttention& attention) {
  const dim3 grid(static_cast<unsigned>((attention.count_max + kBlockRows - 1) / kBlockRows),
                  static_cast<unsigned>(attention.heads),
                  static_cast<unsigned>(attention.sequences));
  if (attention.kv.type == HalfType::kF16) {
    PrefillKernel<HalfType::kF16, kHeadSize><<<grid, kThreads, 0, stream.handle()>>>(attention);
  } else {
    PrefillKernel<HalfType::kBf16, kHeadSize><<<grid, kThreads, 0, stream.handle()>>>(attention);
  }
}

}  // namespace

absl::Status PrefillAttentionCuda(const Stream& stream, const PrefillAttention& attention) {
  CHECK(attention.heads % attention.kv.kv_heads == 0);
  if (attention.sequences == 0 || attention.count_max == 0) return absl::OkStatus();
  switch (attention.kv.head_size) {
    case 16:
      LaunchPrefill<16>(stream, attention);
      break;
    case 32:
      LaunchPrefill<32>(stream, attention);
      break;
    case 64:
      LaunchPrefill<64>(stream, attention);
      break;
    case 80:
      LaunchPrefill<80>(stream, attention);
      break;
    case 96:
      LaunchPrefill<96>(stream, attention);
      break;
    case 128:
      LaunchPrefill<128>(stream, attention);
      break;
    case 256:
      LaunchPrefill<256>(stream, attention);
      break;
    default:
      return absl::UnimplementedError(
          absl::StrCat("prefill attention on CUDA has no heads of ", attention.kv.head_size,
                       " values; it has 16, 32, 64, 80, 96, 128 and 256"));
  }
  return LaunchStatus("prefill_attention",
                      {attention.sequences, attention.count_max, attention.heads,
                       attention.kv.kv_heads, attention.kv.head_size});
}

}  // namespace spillway
