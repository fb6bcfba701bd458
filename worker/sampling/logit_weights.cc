// Compiled with -O3 for its vectoriser, which needs -fno-trapping-math to turn comparisons into
// selects (g++ 12), and without contraction: the results are those of every machine, instruction
// set and build type. AVX2 is used where there is any: sampling from 49,152 logits went from 145 to
// 88 us with it.
#include "worker/sampling/logit_weights.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "common/check.h"

namespace spillway {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 16;
static_assert(kLogitBlock % kLanes == 0);

// NaN compares false and so never wins.
float MaxOf(const float* logits, size_t count) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -kInfinity);
  const size_t whole = count / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = logits[i + lane] > lanes[lane] ? logits[i + lane] : lanes[lane];
    }
  }
  float max = -kInfinity;
  for (const float lane : lanes) max = lane > max ? lane : max;
  for (size_t i = whole; i < count; ++i) max = logits[i] > max ? logits[i] : max;
  return max;
}

// exp(x) of x <= 0, rounded to a multiple of 2^-32; 0 for NaN. Relative error before that: 2e-7.
// Cephes' expf (https://www.netlib.org/cephes/, single/expf.c).
[[gnu::always_inline]] inline float RoundedExp(float x) {
  constexpr float kLowest = -32.0f;  // far below 2^-33; where NaN goes, too
  x = x > kLowest ? x : kLowest;
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
  constexpr float kRound = 12582912.0f;
  const float shifted = x * 1.44269504088896341f + kRound;
  const float power = shifted - kRound;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
  const float r = (x - power * 0.693359375f) - power * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float mantissa = p * (r * r) + r + 1.0f;
  const float value = std::bit_cast<float>(std::bit_cast<int32_t>(mantissa) + (exponent << 23));
  // Floats from 2^-9 on are multiples of 2^-32 by themselves; adding 2^-9 makes smaller ones so.
  constexpr float kGrid = 0x1p-9f;
  const float rounded = (value + kGrid) - kGrid;
  return value < kGrid ? rounded : (value < 1.0f ? value : 1.0f);
}

[[gnu::always_inline]] inline void WeightsLoop(const float* logits, size_t count, float max,
                                               float temperature, float* weights) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (size_t i = 0; i < count; ++i) {
    const float logit = logits[i] > kLargest ? kLargest : logits[i];
    weights[i] = RoundedExp((logit - max) / temperature);
  }
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void WeightsAvx2(const float* logits, size_t count, float max,
                                         float temperature, float* weights) {
  WeightsLoop(logits, count, max, temperature, weights);
}
#endif

}  // namespace

void BlockMaxima(std::span<const float> logits, std::span<float> maxima) {
  CHECK(maxima.size() == LogitBlocks(logits.size()));
  for (size_t block = 0; block < maxima.size(); ++block) {
    const size_t begin = block * kLogitBlock;
    maxima[block] = MaxOf(logits.data() + begin, std::min(kLogitBlock, logits.size() - begin));
  }
}

ptrdiff_t ArgMax(std::span<const float> logits) {
  float best = -kInfinity;
  size_t best_begin = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kLogitBlock) {
    const float max = MaxOf(logits.data() + begin, std::min(kLogitBlock, logits.size() - begin));
    if (max > best) {
      best = max;
      best_begin = begin;
    }
  }
  if (best == -kInfinity) return -1;
  return std::find(logits.begin() + static_cast<ptrdiff_t>(best_begin), logits.end(), best) -
         logits.begin();
}

size_t CountAbove(std::span<const float> logits, float threshold) {
  size_t count = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kLogitBlock) {
    const size_t end = std::min(begin + kLogitBlock, logits.size());
    int32_t in_block = 0;
    for (size_t i = begin; i < end; ++i) in_block += logits[i] > threshold ? 1 : 0;
    count += static_cast<size_t>(in_block);
  }
  return count;
}

void Weights(std::span<const float> logits, float max, float temperature,
             std::span<float> weights) {
  CHECK(weights.size() == logits.size() && temperature > 0);
  const float top = std::min(max, std::numeric_limits<float>::max());
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    WeightsAvx2(logits.data(), logits.size(), top, temperature, weights.data());
    return;
  }
#endif
  WeightsLoop(logits.data(), logits.size(), top, temperature, weights.data());
}

double BlockSums(std::span<const float> weights, std::span<double> sums) {
  CHECK(sums.size() == LogitBlocks(weights.size()));
  constexpr size_t kSumLanes = 8;
  double total = 0;
  for (size_t block = 0; block < sums.size(); ++block) {
    const size_t begin = block * kLogitBlock;
    const size_t count = std::min(kLogitBlock, weights.size() - begin);
    const float* from = weights.data() + begin;
    double lanes[kSumLanes] = {};
    const size_t whole = count / kSumLanes * kSumLanes;
    for (size_t i = 0; i < whole; i += kSumLanes) {
      for (size_t lane = 0; lane < kSumLanes; ++lane) lanes[lane] += from[i + lane];
    }
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    for (size_t i = whole; i < count; ++i) sum += from[i];
    sums[block] = sum;
    total += sum;
  }
  return total;
}

}  // namespace spillway
