#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/paged_attention_cuda.h"

// Split-KV decoding (Flash-Decoding, https://arxiv.org/abs/2311.01282 §3): a block takes one split
// of one sequence's context for the queries that share a KV head, so that each key and value is
// read once; a second kernel merges the splits. Scores are in units of log2, for exp2f.

namespace spillway {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kQueriesMax = 8;    // of one block; larger groups take several
constexpr int kTokensAtOnce = 2;  // per lane group, between two rescalings
constexpr float kLog2E = 1.4426950408889634f;

// q · k, of queries that have been multiplied with QueryScale(), in units of log2.
__device__ __forceinline__ float QueryScale(const AttentionScoring& scoring) {
  return scoring.soft_cap > 0 ? scoring.scale / scoring.soft_cap : scoring.scale * kLog2E;
}
__device__ __forceinline__ float ScoreOf(const AttentionScoring& scoring, float product) {
  return scoring.soft_cap > 0 ? scoring.soft_cap * kLog2E * tanhf(product) : product;
}

// What a lane group has seen so far of kQueries queries: its lanes have 8 dimensions each.
template <int kQueries>
struct State {
  float largest[kQueries];
  float total[kQueries];
  float sums[kQueries][8];
};

// The state of two disjoint sets of tokens: `other`'s parts are added to `state`'s. With nothing
// seen on either side, `largest` is -infinity and all else 0; the guards keep inf - inf out.
__device__ __forceinline__ float Rescale(float largest, float new_largest) {
  return largest == new_largest ? 1.0f : exp2f(largest - new_largest);
}

template <HalfType kType, int kLanes, int kQueries>
__device__ __forceinline__ void AddTokens(const DecodeAttention& attention,
                                          const float (&queries)[kQueries][8],
                                          const int64_t (&offsets)[kTokensAtOnce], int lane,
                                          bool lane_used, State<kQueries>& state) {
  uint4 keys[kTokensAtOnce];
  uint4 values[kTokensAtOnce];
#pragma unroll
  for (int t = 0; t < kTokensAtOnce; ++t) {
    // Absent tokens, and lanes beyond the head's end, count as zeros.
    keys[t] = values[t] = {0, 0, 0, 0};
    if (offsets[t] >= 0 && lane_used) {
      keys[t] = Load16(attention.kv.keys + offsets[t] + lane * 8);
      values[t] = Load16(attention.kv.values + offsets[t] + lane * 8);
    }
  }
  float scores[kQueries][kTokensAtOnce];
#pragma unroll
  for (int t = 0; t < kTokensAtOnce; ++t) {
    float key[8];
    UnpackEight<kType>(keys[t], key);
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      float score = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) score = fmaf(queries[q][i], key[i], score);
#pragma unroll
      for (int offset = kLanes / 2; offset > 0; offset /= 2) {
        score += __shfl_xor_sync(kAllLanes, score, offset);
      }
      scores[q][t] = offsets[t] >= 0 ? ScoreOf(attention.scoring, score) : -INFINITY;
    }
  }
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    float largest = state.largest[q];
#pragma unroll
    for (int t = 0; t < kTokensAtOnce; ++t) largest = fmaxf(largest, scores[q][t]);
    const float factor = Rescale(state.largest[q], largest);
    state.largest[q] = largest;
    state.total[q] *= factor;
#pragma unroll
    for (int i = 0; i < 8; ++i) state.sums[q][i] *= factor;
  }
#pragma unroll
  for (int t = 0; t < kTokensAtOnce; ++t) {
    float value[8];
    UnpackEight<kType>(values[t], value);
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const float weight = offsets[t] >= 0 ? exp2f(scores[q][t] - state.largest[q]) : 0.0f;
      state.total[q] += weight;
#pragma unroll
      for (int i = 0; i < 8; ++i) state.sums[q][i] = fmaf(weight, value[i], state.sums[q][i]);
    }
  }
}

// Merges the lane groups of a warp: all of them end with the warp's state.
template <int kLanes, int kQueries>
__device__ __forceinline__ void MergeLaneGroups(State<kQueries>& state) {
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
#pragma unroll
    for (int offset = kLanes; offset < kWarpSize; offset *= 2) {
      const float other = __shfl_xor_sync(kAllLanes, state.largest[q], offset);
      const float largest = fmaxf(state.largest[q], other);
      const float factor = Rescale(state.largest[q], largest);
      state.largest[q] = largest;
      state.total[q] *= factor;
      state.total[q] += __shfl_xor_sync(kAllLanes, state.total[q], offset);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const float sum = state.sums[q][i] * factor;
        state.sums[q][i] = sum + __shfl_xor_sync(kAllLanes, sum, offset);
      }
    }
  }
}

// kLanes lanes read one token's key: 8 values each, of heads of up to 8 * kLanes.
template <HalfType kType, int kLanes, int kQueries>
__global__ __launch_bounds__(kThreads) void DecodeSplitKernel(DecodeAttention attention,
                                                              int queries_per_kv_head, int passes) {
  constexpr int kGroups = kWarpSize / kLanes;
  __shared__ float shared_sums[kWarps][kQueries][kLanes * 8];
  __shared__ float shared_largest[kWarps][kQueries];
  __shared__ float shared_total[kWarps][kQueries];

  const PagedKvCuda& kv = attention.kv;
  const int unit = static_cast<int>(blockIdx.x);
  const int kv_head = static_cast<int>(blockIdx.y) / passes;
  const int query_begin = static_cast<int>(blockIdx.y) % passes * kQueries;
  const int sequence = attention.units[unit].sequence;
  if (sequence < 0) return;  // the whole block
  const int split_begin = attention.units[unit].split * attention.split_tokens;
  const int length = attention.lengths[sequence];
  const int begin = max(split_begin, attention.scoring.FirstVisible(length - 1));
  const int end = min(length, split_begin + attention.split_tokens);
  if (begin >= end) return;  // the whole block

  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int group = static_cast<int>(threadIdx.x) % kWarpSize / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const bool lane_used = lane * 8 < kv.head_size;

  const int head_begin = kv_head * queries_per_kv_head + query_begin;
  const float scale = QueryScale(attention.scoring);
  float queries[kQueries][8];
  State<kQueries> state;
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    // Queries beyond the group's last repeat it and are not written.
    const int head = head_begin + min(q, queries_per_kv_head - query_begin - 1);
    uint4 packed = {0, 0, 0, 0};
    if (lane_used) {
      packed = Load16(attention.queries +
                      (static_cast<int64_t>(sequence) * attention.heads + head) * kv.head_size +
                      lane * 8);
    }
    UnpackEight<kType>(packed, queries[q]);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      queries[q][i] *= scale;
      state.sums[q][i] = 0;
    }
    state.largest[q] = -INFINITY;
    state.total[q] = 0;
  }

  // All lanes of a warp go round together: `first` is the same for them.
  constexpr int kStep = kWarps * kGroups * kTokensAtOnce;
  for (int first = begin + warp * kGroups * kTokensAtOnce; first < end; first += kStep) {
    int64_t offsets[kTokensAtOnce];
#pragma unroll
    for (int t = 0; t < kTokensAtOnce; ++t) {
      const int position = first + t * kGroups + group;
      offsets[t] = -1;
      if (position < end) {
        offsets[t] = kv.OffsetOf(attention.table.BlockOf(sequence, position), kv_head,
                                 position % kKvBlockTokens);
      }
    }
    AddTokens<kType, kLanes, kQueries>(attention, queries, offsets, lane, lane_used, state);
  }

  MergeLaneGroups<kLanes, kQueries>(state);
  if (group == 0) {
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
#pragma unroll
      for (int i = 0; i < 8; ++i) shared_sums[warp][q][lane * 8 + i] = state.sums[q][i];
      if (lane == 0) {
        shared_largest[warp][q] = state.largest[q];
        shared_total[warp][q] = state.total[q];
      }
    }
  }
  __syncthreads();

  const int queries_here = min(kQueries, queries_per_kv_head - query_begin);
  const int size = kv.head_size;
  for (int index = static_cast<int>(threadIdx.x); index < queries_here * (size + 2);
       index += kThreads) {
    const int q = index / (size + 2);
    const int d = index % (size + 2);
    float largest = -INFINITY;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) largest = fmaxf(largest, shared_largest[w][q]);
    float value = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const float factor = Rescale(shared_largest[w][q], largest);
      value += factor * (d < size ? shared_sums[w][q][d] : shared_total[w][q]);
    }
    if (d == size) value = largest;
    const int64_t cell = static_cast<int64_t>(unit) * attention.heads + head_begin + q;
    attention.partials[cell * (size + 2) + d] = value;
  }
}

// Merges the splits of one query head: a block, a thread per dimension.
template <HalfType kType>
__global__ __launch_bounds__(kThreads) void MergeSplitsKernel(DecodeAttention attention) {
  const int size = attention.kv.head_size;
  const int head = static_cast<int>(blockIdx.x);
  const int sequence = static_cast<int>(blockIdx.y);
  const int length = attention.lengths[sequence];
  const int splits = (length + attention.split_tokens - 1) / attention.split_tokens;
  const int first = attention.scoring.FirstVisible(length - 1) / attention.split_tokens;
  const int64_t query = static_cast<int64_t>(sequence) * attention.heads + head;
  const int64_t stride = static_cast<int64_t>(attention.heads) * (size + 2);  // between splits
  const float* const partials = attention.partials + attention.first_units[sequence] * stride +
                                static_cast<int64_t>(head) * (size + 2);
  for (int d = static_cast<int>(threadIdx.x); d < size; d += kThreads) {
    float largest = -INFINITY;
    float total = 0;
    float sum = 0;
    for (int split = first; split < splits; ++split) {
      const float* const partial = partials + split * stride;
      const float new_largest = fmaxf(largest, partial[size]);
      const float factor = Rescale(largest, new_largest);
      const float added = Rescale(partial[size], new_largest);
      total = total * factor + partial[size + 1] * added;
      sum = sum * factor + partial[d] * added;
      largest = new_largest;
    }
    attention.out[query * size + d] = StoreHalf<kType>(splits == 0 ? 0.0f : sum / total);
  }
}

template <HalfType kType, int kLanes, int kQueries>
void LaunchSplits(const Stream& stream, const DecodeAttention& attention) {
  if (attention.unit_count == 0) return;
  const int group = attention.heads / attention.kv.kv_heads;
  const int passes = (group + kQueries - 1) / kQueries;
  const dim3 grid(static_cast<unsigned>(attention.unit_count),
                  static_cast<unsigned>(attention.kv.kv_heads * passes));
  DecodeSplitKernel<kType, kLanes, kQueries>
      <<<grid, kThreads, 0, stream.handle()>>>(attention, group, passes);
}

template <HalfType kType, int kLanes>
void LaunchGroup(const Stream& stream, const DecodeAttention& attention) {
  const int group = attention.heads / attention.kv.kv_heads;
  if (group == 1) {
    LaunchSplits<kType, kLanes, 1>(stream, attention);
  } else if (group == 2) {
    LaunchSplits<kType, kLanes, 2>(stream, attention);
  } else if (group <= 4) {
    LaunchSplits<kType, kLanes, 4>(stream, attention);
  } else {
    LaunchSplits<kType, kLanes, kQueriesMax>(stream, attention);
  }
}

template <HalfType kType>
void LaunchDecode(const Stream& stream, const DecodeAttention& attention) {
  if (attention.kv.head_size <= 64) {
    LaunchGroup<kType, 8>(stream, attention);
  } else if (attention.kv.head_size <= 128) {
    LaunchGroup<kType, 16>(stream, attention);
  } else {
    LaunchGroup<kType, 32>(stream, attention);
  }
  const dim3 grid(static_cast<unsigned>(attention.heads),
                  static_cast<unsigned>(attention.sequences));
  MergeSplitsKernel<kType><<<grid, kThreads, 0, stream.handle()>>>(attention);
}

}  // namespace

absl::Status DecodeAttentionCuda(const Stream& stream, const DecodeAttention& attention) {
  const PagedKvCuda& kv = attention.kv;
  CHECK(kv.head_size % 16 == 0 && kv.head_size <= 256);
  CHECK(attention.heads % kv.kv_heads == 0);
  CHECK(attention.split_tokens > 0 && attention.split_tokens % kKvBlockTokens == 0);
  if (attention.sequences == 0) return absl::OkStatus();
  if (kv.type == HalfType::kF16) {
    LaunchDecode<HalfType::kF16>(stream, attention);
  } else {
    LaunchDecode<HalfType::kBf16>(stream, attention);
  }
  return LaunchStatus("decode_attention", {attention.sequences, attention.heads, kv.kv_heads,
                                           kv.head_size, attention.unit_count});
}

}  // namespace spillway
