#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/logit_order.cuh"
#include "worker/kernels/token_scores_cuda.h"

namespace spillway {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpSize;

// The largest of the block's values, in every thread. `shared` may be used again after a barrier.
__device__ __forceinline__ unsigned long long BlockLargest(unsigned long long value,
                                                           unsigned long long* shared) {
  value = WarpLargest(value);
  if (threadIdx.x % kWarpSize == 0) shared[threadIdx.x / kWarpSize] = value;
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    value = shared[warp] > value ? shared[warp] : value;
  }
  return value;
}

// A block a token. The likeliest tokens are found one after another, each as the largest choice
// below the one before: a pass over logits that lie in L2 costs less than sorting them.
__global__ __launch_bounds__(kThreads) void ScoreTokensKernel(TokenScores scores) {
  __shared__ unsigned long long largest_of_warps[kWarps];
  __shared__ float total_of_warps[kWarps];
  __shared__ float likelier_of_warps[kWarps];
  const TokenToScore asked = scores.tokens[blockIdx.x];
  ScoredToken& score = scores.scores[blockIdx.x];
  const float* const logits = scores.logits + asked.logits_row * scores.logits_stride;
  const int token = asked.token < 0 ? scores.sampled[asked.sampled_row] : asked.token;

  unsigned long long best = 0;
  for (int i = static_cast<int>(threadIdx.x); i < scores.vocabulary; i += kThreads) {
    const unsigned long long choice = ChoiceOf(UsableLogit(logits[i]), i);
    best = choice > best ? choice : best;
  }
  best = BlockLargest(best, largest_of_warps);
  const float largest = UsableLogit(logits[TokenOfChoice(best)]);
  if (largest == -INFINITY || token < 0 || token >= scores.vocabulary) {  // the whole block
    if (threadIdx.x == 0) {
      score.logprob = __int_as_float(0x7fc00000);
      score.rank = 0;
    }
    return;
  }

  const float chosen = UsableLogit(logits[token]);
  float total = 0;
  float likelier = 0;  // exact: a vocabulary has at most 2^20 tokens
  for (int i = static_cast<int>(threadIdx.x); i < scores.vocabulary; i += kThreads) {
    const float logit = UsableLogit(logits[i]);
    if (logit > -INFINITY) total += expf(logit - largest);
    if (logit > chosen) likelier += 1;
  }
  total = BlockSum<kThreads>(total, total_of_warps);
  likelier = BlockSum<kThreads>(likelier, likelier_of_warps);
  const float log_total = logf(total);
  if (threadIdx.x == 0) {
    score.logprob = chosen - largest - log_total;
    score.rank = 1 + static_cast<int>(likelier);
  }

  for (int t = 0; t < asked.top_count; ++t) {
    if (t > 0) {
      unsigned long long next = 0;
      for (int i = static_cast<int>(threadIdx.x); i < scores.vocabulary; i += kThreads) {
        const unsigned long long choice = ChoiceOf(UsableLogit(logits[i]), i);
        if (choice < best && choice > next) next = choice;
      }
      __syncthreads();  // all have read the choice before
      best = BlockLargest(next, largest_of_warps);
    }
    if (threadIdx.x == 0) {
      const int top = TokenOfChoice(best);
      score.top_tokens[t] = top;
      score.top_logprobs[t] = UsableLogit(logits[top]) - largest - log_total;
    }
  }
}

}  // namespace

absl::Status ScoreTokensCuda(const Stream& stream, const TokenScores& scores) {
  CHECK(scores.vocabulary > 0 && scores.vocabulary <= 1 << 20);
  if (scores.count == 0) return absl::OkStatus();
  ScoreTokensKernel<<<static_cast<unsigned>(scores.count), kThreads, 0, stream.handle()>>>(scores);
  return LaunchStatus("score_tokens", {scores.count, scores.vocabulary});
}

}  // namespace spillway
