#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/logit_order.cuh"
#include "worker/kernels/sampling_cuda.h"

// Adjust the logits by chunks of the vocabulary, then those that have a bias; find each row's
// threshold, a block a row, only where a row asks for top_k, top_p or min_p; take the best of each
// chunk; take the best chunk. A vocabulary of 150,000 is too much for one block to scan alone.

namespace spillway {
namespace {

constexpr int kThreads = 256;
constexpr int kChunk = 4096;  // as PartialsPerRow() has it
constexpr int kSelectThreads = 1024;
// Weights in (0, 1] as integers, whose sums don't depend on the order of atomic additions. A sum
// over 2^20 tokens fits 64 bits.
constexpr float kWeightUnit = 0x1p40f;

__device__ __forceinline__ float* PartialsOf(const SamplingBatch& batch, int row) {
  const int chunks = (batch.vocabulary + kChunk - 1) / kChunk;
  return batch.partials + static_cast<int64_t>(row) * (2 + 2 * chunks);
}

// A row's scratch: [0] the threshold as a key; then the best choice of each chunk.
__device__ __forceinline__ unsigned long long* ChoicesOf(const SamplingBatch& batch, int row) {
  return reinterpret_cast<unsigned long long*>(PartialsOf(batch, row) + 2);
}
__device__ __forceinline__ uint32_t* ThresholdOf(const SamplingBatch& batch, int row) {
  return reinterpret_cast<uint32_t*>(PartialsOf(batch, row));
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
  const int row = static_cast<int>(blockIdx.y);
  const SamplingRow params = batch.params[row];
  const int64_t row_begin = static_cast<int64_t>(row) * batch.vocabulary;
  const int begin = static_cast<int>(blockIdx.x) * kChunk;
  const int end = min(begin + kChunk, batch.vocabulary);
  for (int token = begin + static_cast<int>(threadIdx.x); token < end; token += kThreads) {
    const float logit = UsableLogit(batch.logits[batch.LogitAt(row, token)]);
    batch.adjusted[row_begin + token] = AdjustedLogit(batch, params, row, token, logit);
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) *ThresholdOf(batch, row) = 0;
}

__global__ __launch_bounds__(kThreads) void BiasKernel(SamplingBatch batch) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= batch.bias_count) return;
  const LogitBias bias = batch.biases[i];
  const float logit = UsableLogit(batch.logits[batch.LogitAt(bias.row, bias.token)]) + bias.bias;
  batch.adjusted[static_cast<int64_t>(bias.row) * batch.vocabulary + bias.token] =
      AdjustedLogit(batch, batch.params[bias.row], bias.row, bias.token, logit);
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
    const unsigned long long choice = ChoiceOf(score, token);
    best = choice > best ? choice : best;
  }
  best = WarpLargest(best);
  if (threadIdx.x % kWarpSize == 0) best_of_warps[threadIdx.x / kWarpSize] = best;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp) {
    best = best_of_warps[warp] > best ? best_of_warps[warp] : best;
  }
  ChoicesOf(batch, row)[blockIdx.x] = best;
}

// A warp a row.
__global__ __launch_bounds__(kWarpSize) void FinishKernel(SamplingBatch batch, int chunks) {
  const int row = static_cast<int>(blockIdx.x);
  const unsigned long long* const choices = ChoicesOf(batch, row);
  unsigned long long best = 0;
  for (int i = static_cast<int>(threadIdx.x); i < chunks; i += kWarpSize) {
    best = choices[i] > best ? choices[i] : best;
  }
  best = WarpLargest(best);
  if (threadIdx.x != 0) return;
  const SamplingRow& params = batch.params[row];
  const int token = TokenOfChoice(best);
  batch.tokens[row] = token;
  // A row without a choice is about to fail: what follows in the pipeline is thrown away.
  if (params.sampled_slot >= 0) batch.sampled[params.sampled_slot] = max(token, 0);
  if (batch.count_sampled && params.slot >= 0 && token >= 0) {
    uint32_t& count = batch.counts[static_cast<int64_t>(params.slot) * batch.vocabulary + token];
    count = (count + 2) | 1;
  }
}

__global__ __launch_bounds__(kThreads) void CountTokensKernel(TokenCounts tokens) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= tokens.count || tokens.SlotOf(i) < 0 || tokens.tokens[i] < 0) return;
  uint32_t* const count =
      tokens.counts + static_cast<int64_t>(tokens.SlotOf(i)) * tokens.vocabulary + tokens.tokens[i];
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
  if (batch.bias_count > 0) {
    const auto blocks = static_cast<unsigned>((batch.bias_count + kThreads - 1) / kThreads);
    BiasKernel<<<blocks, kThreads, 0, stream.handle()>>>(batch);
  }
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
