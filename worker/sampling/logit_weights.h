#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace spillway {

// So that sums of weights are exact (Weights()).
inline constexpr int32_t kVocabularyMax = 1 << 20;

// Passes over all logits are made in blocks of this many, so that later steps can skip most.
constexpr size_t kLogitBlock = 64;
constexpr size_t LogitBlocks(size_t logits) { return (logits + kLogitBlock - 1) / kLogitBlock; }

// The largest of each block; NaN counts as -infinity. Requires one entry of `maxima` per block.
void BlockMaxima(std::span<const float> logits, std::span<float> maxima);

// The place of the largest logit, the first of equals; -1 when all are NaN or -infinity.
ptrdiff_t ArgMax(std::span<const float> logits);

// How many are larger than `threshold`; NaN is not.
size_t CountAbove(std::span<const float> logits, float threshold);

// weights[i] = exp((logits[i] - max) / temperature), rounded to a multiple of 2^-32.
//
// So up to 2^20 weights, each at most 1, add up in a double without any rounding: sums are the
// same in every order, and so is what is decided by them. What it costs: a token less likely than
// 2^-33 of the likeliest is never drawn.
// NaN and -infinity weigh 0; +infinity counts as the largest float. `max` is the largest logit.
// Requires temperature > 0 and equal sizes. `weights` may be the same memory as `logits`.
void Weights(std::span<const float> logits, float max, float temperature, std::span<float> weights);

// Exact sums of each block of weights; returns their sum.
double BlockSums(std::span<const float> weights, std::span<double> sums);

}  // namespace spillway
