#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/sampling_cuda.h"

// Four kernels: adjust the logits and sum their softmax, by chunks of the vocabulary; find each
// row's threshold, a block a row, only where a row asks for top_k, top_p or min_p; take the best of
// each chunk; take the best chunk. A vocabulary of 150,000 is too much for one block to scan alone.

namespace spillway {
namespace {

constexpr int kThreads = 256;
constexpr int kChunk = 4096;  // as PartialsPerRow() has it
constexpr int kSelectThreads = 1024;
constexpr float kLargestFloat = 3.402823466e+38f;
// Weights in (0, 1] as integers, whose sums don't depend on the order of atomic additions. A sum
// over 2^20 tokens fits 64 bits.
constexpr float kWeightUnit = 0x1p40f;

// Orders floats as unsigned integers; 0 is below all of them but not-a-number.
__device__ __forceinline__ uint32_t KeyOf(float value) {
  const uint32_t bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float* PartialsOf(const SamplingBatch& batch, int row) {
  const int chunks = (batch.vocabulary + kChunk - 1) / kChunk;
  return batch.partials + static_cast<int64_t>(row) * (2 + 4 * chunks);
}

// A row's scratch: [0] the threshold as a key; then per chunk its best choice, the largest of its
// own logits, and their sum relative to that.
struct Chunk {
  unsigned long long
      choice;  // key << 32 | ~token: the larger score wins, of equals the lower token
  float largest;
  float total;
};
static_assert(sizeof(Chunk) == 4 * sizeof(float));
__device__ __forceinline__ Chunk* ChunksOf(const SamplingBatch& batch, int row) {
  return reinterpret_cast<Chunk*>(PartialsOf(batch, row) + 2);
}
__device__ __forceinline__ uint32_t* ThresholdOf(const SamplingBatch& batch, int row) {
  return reinterpret_cast<uint32_t*>(PartialsOf(batch, row));
}

__device__ __forceinline__ unsigned long long WarpLargest(unsigned long long value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    const unsigned long long other = __shfl_xor_sync(kAllLanes, value, offset);
    value = other > value ? other : value;
  }
  return value;
}

__device__ __forceinline__ float UsableLogit(float logit) {
  return isnan(logit) ? -INFINITY : fminf(logit, kLargestFloat);
}

__device__ __forceinline__ float AdjustedLogit(const SamplingBatch& batch,
                                               const SamplingRow& params, int row, int token,
                                               float logit) {
  if (batch.masks != nullptr) {
    const int64_t words = (batch.vocabulary + 31) / 32;
    if ((batch.masks[row * words + token / 32] >> token % 32 & 1) == 0) return -INFINITY;
  }
  if (params.slot >= 0) {
    const uint32_t count =
        batch.counts[static_cast<int64_t>(params.slot) * batch.vocabulary + token];
    if ((count & 1) != 0) {
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
    if (count > 1) {
      logit -= params.presence_penalty + params.frequency_penalty * static_cast<float>(count / 2);
    }
  }
  return params.temperature > 0 ? logit / params.temperature : logit;
}

__global__ __launch_bounds__(kThreads) void AdjustKernel(SamplingBatch batch) {
  __shared__ float largest_of_warps[kThreads / kWarpSize];
  __shared__ float total_of_warps[kThreads / kWarpSize];
  const int row = static_cast<int>(blockIdx.y);
  const SamplingRow params = batch.params[row];
  const int64_t row_begin = static_cast<int64_t>(row) * batch.vocabulary;
  const int begin = static_cast<int>(blockIdx.x) * kChunk;
  const int end = min(begin + kChunk, batch.vocabulary);

  float largest = -INFINITY;
  for (int token = begin + static_cast<int>(threadIdx.x); token < end; token += kThreads) {
    const float logit = UsableLogit(batch.logits[row_begin + token]);
    batch.adjusted[row_begin + token] = AdjustedLogit(batch, params, row, token, logit);
    largest = fmaxf(largest, logit);
  }
  largest = WarpMax(largest);
  if (threadIdx.x % kWarpSize == 0) largest_of_warps[threadIdx.x / kWarpSize] = largest;
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp) {
    largest = fmaxf(largest, largest_of_warps[warp]);
  }
  float total = 0;
  for (int token = begin + static_cast<int>(threadIdx.x); token < end; token += kThreads) {
    const float logit = UsableLogit(batch.logits[row_begin + token]);
    if (logit > -INFINITY) total += expf(logit - largest);
  }
  total = BlockSum<kThreads>(total, total_of_warps);
  if (threadIdx.x == 0) {
    Chunk& chunk = ChunksOf(batch, row)[blockIdx.x];
    chunk.largest = largest;
    chunk.total = total;
    if (blockIdx.x == 0) *ThresholdOf(batch, row) = 0;
  }
}

// What thread 0 finds in a histogram for all: the highest bucket at which the sum of it and those
// above reaches `wanted`, and the sum of those above.
struct Selection {
  unsigned long long histogram[256];
  unsigned long long above;
  uint32_t bucket;
};

// The key at which the weights of all keys at least as large reach `wanted`, digit by digit from
// the highest. weight_of(key) is 0 for keys that don't count. Requires that all weights do reach
// it.
template <typename WeightOf>
__device__ __forceinline__ uint32_t SelectKey(const float* logits, int count,
                                              unsigned long long wanted, Selection& selection,
                                              WeightOf weight_of) {
  uint32_t prefix = 0;
  uint32_t mask = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    __syncthreads();  // all have read the selection before
    if (threadIdx.x < 256) selection.histogram[threadIdx.x] = 0;
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kSelectThreads) {
      const uint32_t key = KeyOf(logits[i]);
      if ((key & mask) != prefix) continue;
      const unsigned long long weight = weight_of(logits[i]);
      if (weight > 0) atomicAdd(&selection.histogram[key >> shift & 0xff], weight);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      unsigned long long above = 0;
      uint32_t bucket = 255;
      while (bucket > 0 && above + selection.histogram[bucket] < wanted) {
        above += selection.histogram[bucket--];
      }
      selection.above = above;
      selection.bucket = bucket;
    }
    __syncthreads();
    wanted -= selection.above;
    prefix |= selection.bucket << shift;
    mask |= 0xffu << shift;
  }
  return prefix;
}

__global__ __launch_bounds__(kSelectThreads) void ThresholdKernel(SamplingBatch batch) {
  __shared__ Selection selection;
  __shared__ float largest_of_warps[kSelectThreads / kWarpSize];
  __shared__ unsigned long long total;
  const int row = static_cast<int>(blockIdx.x);
  const SamplingRow params = batch.params[row];
  const bool has_top_k = params.top_k > 0 && params.top_k < batch.vocabulary;
  const bool has_top_p = params.top_p < 1;
  if (params.temperature == 0 || !(has_top_k || has_top_p || params.min_p > 0)) return;

  const float* const logits = batch.adjusted + static_cast<int64_t>(row) * batch.vocabulary;
  float largest = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < batch.vocabulary; i += kSelectThreads) {
    largest = fmaxf(largest, logits[i]);
  }
  largest = WarpMax(largest);
  if (threadIdx.x % kWarpSize == 0) largest_of_warps[threadIdx.x / kWarpSize] = largest;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  for (int warp = 0; warp < kSelectThreads / kWarpSize; ++warp) {
    largest = fmaxf(largest, largest_of_warps[warp]);
  }
  if (largest == -INFINITY) return;  // the whole block: nothing to choose from

  uint32_t threshold = 0;
  if (has_top_k) {
    threshold = SelectKey(logits, batch.vocabulary, static_cast<unsigned long long>(params.top_k),
                          selection, [](float) { return 1ull; });
  }
  if (has_top_p) {
    const auto weight_of = [=](float logit) {
      return KeyOf(logit) >= threshold
                 ? static_cast<unsigned long long>(expf(logit - largest) * kWeightUnit)
                 : 0ull;
    };
    unsigned long long sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < batch.vocabulary; i += kSelectThreads) {
      sum += weight_of(logits[i]);
    }
    if (sum > 0) atomicAdd(&total, sum);
    __syncthreads();
    const auto wanted = static_cast<unsigned long long>(static_cast<double>(total) * params.top_p);
    threshold = SelectKey(logits, batch.vocabulary, wanted > 0 ? wanted : 1, selection, weight_of);
  }
  if (params.min_p > 0) {
    const uint32_t lowest = KeyOf(largest + logf(params.min_p));
    threshold = lowest > threshold ? lowest : threshold;
  }
  if (threadIdx.x == 0) *ThresholdOf(batch, row) = threshold;
}

__global__ __launch_bounds__(kThreads) void ChooseKernel(SamplingBatch batch) {
  __shared__ unsigned long long best_of_warps[kThreads / kWarpSize];
  const int row = static_cast<int>(blockIdx.y);
  const SamplingRow params = batch.params[row];
  const float* const logits = batch.adjusted + static_cast<int64_t>(row) * batch.vocabulary;
  const uint32_t threshold = *ThresholdOf(batch, row);
  const int begin = static_cast<int>(blockIdx.x) * kChunk;
  const int end = min(begin + kChunk, batch.vocabulary);

  unsigned long long best = 0;  // nothing
  for (int token = begin + static_cast<int>(threadIdx.x); token < end; token += kThreads) {
    float score = logits[token];
    if (score == -INFINITY || KeyOf(score) < threshold) continue;
    if (params.temperature > 0) {
      const float share = NoiseShare(NoiseBits(params.seed, params.position, token));
      score -= logf(-log1pf(-share));
    }
    const unsigned long long choice =
        static_cast<unsigned long long>(KeyOf(score)) << 32 | ~static_cast<uint32_t>(token);
    best = choice > best ? choice : best;
  }
  best = WarpLargest(best);
  if (threadIdx.x % kWarpSize == 0) best_of_warps[threadIdx.x / kWarpSize] = best;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp) {
    best = best_of_warps[warp] > best ? best_of_warps[warp] : best;
  }
  ChunksOf(batch, row)[blockIdx.x].choice = best;
}

// A warp a row.
__global__ __launch_bounds__(kWarpSize) void FinishKernel(SamplingBatch batch, int chunks) {
  const int row = static_cast<int>(blockIdx.x);
  const Chunk* const parts = ChunksOf(batch, row);
  unsigned long long best = 0;
  float largest = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < chunks; i += kWarpSize) {
    best = parts[i].choice > best ? parts[i].choice : best;
    largest = fmaxf(largest, parts[i].largest);
  }
  best = WarpLargest(best);
  largest = WarpMax(largest);
  float total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < chunks; i += kWarpSize) {
    if (parts[i].largest > -INFINITY) total += parts[i].total * expf(parts[i].largest - largest);
  }
  total = WarpSum(total);
  if (threadIdx.x != 0) return;
  const int token = best == 0 ? -1 : static_cast<int>(~static_cast<uint32_t>(best));
  batch.tokens[row] = token;
  batch.logprobs[row] =
      token < 0 ? 0.0f
                : UsableLogit(batch.logits[static_cast<int64_t>(row) * batch.vocabulary + token]) -
                      largest - logf(total);
}

__global__ __launch_bounds__(kThreads) void CountTokensKernel(TokenCounts tokens) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= tokens.count || tokens.slots[i] < 0 || tokens.tokens[i] < 0) return;
  uint32_t* const count =
      tokens.counts + static_cast<int64_t>(tokens.slots[i]) * tokens.vocabulary + tokens.tokens[i];
  if (tokens.output) atomicAdd(count, 2u);
  atomicOr(count, 1u);
}

}  // namespace

absl::Status SampleCuda(const Stream& stream, const SamplingBatch& batch) {
  CHECK(batch.vocabulary > 0 && batch.vocabulary <= 1 << 20 && batch.rows <= 65535);
  if (batch.rows == 0) return absl::OkStatus();
  const int chunks = (batch.vocabulary + kChunk - 1) / kChunk;
  const dim3 grid(static_cast<unsigned>(chunks), static_cast<unsigned>(batch.rows));
  const auto rows = static_cast<unsigned>(batch.rows);
  AdjustKernel<<<grid, kThreads, 0, stream.handle()>>>(batch);
  ThresholdKernel<<<rows, kSelectThreads, 0, stream.handle()>>>(batch);
  ChooseKernel<<<grid, kThreads, 0, stream.handle()>>>(batch);
  FinishKernel<<<rows, kWarpSize, 0, stream.handle()>>>(batch, chunks);
  return LaunchStatus("sample", {batch.rows, batch.vocabulary});
}

absl::Status CountTokensCuda(const Stream& stream, const TokenCounts& tokens) {
  if (tokens.count == 0) return absl::OkStatus();
  const auto grid = static_cast<unsigned>((tokens.count + kThreads - 1) / kThreads);
  CountTokensKernel<<<grid, kThreads, 0, stream.handle()>>>(tokens);
  return LaunchStatus("count_tokens", {tokens.count, tokens.vocabulary});
}

}  // namespace spillway
