#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/device/stream.h"

namespace spillway {

// Choosing the next token of each row of a step on the device, so that tokens and not logits are
// copied to the host. The steps and their order are those of worker/sampling/sampling_params.h:
// penalties, mask, temperature, top_k, top_p, min_p, one draw.
//
// The draw is the Gumbel maximum: the largest of logit / temperature + noise, where the noise of a
// token depends on (seed, position, token) alone (https://arxiv.org/abs/1611.01144 §2). It has the
// distribution of the softmax without computing it, and doesn't depend on the batch.

// One row's parameters, on the device.
struct SamplingRow {
  float temperature = 1;  // 0: the largest logit, of equals the lowest id
  float top_p = 1;
  float min_p = 0;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  float repetition_penalty = 1;
  int32_t top_k = 0;  // 0: all
  int32_t slot = -1;  // of `counts`; -1: no penalties
  uint64_t seed = 0;
  int64_t position = 0;  // of the new token in its sequence
};

struct SamplingBatch {
  int32_t rows = 0;
  int32_t vocabulary = 0;
  const float* logits = nullptr;        // [rows, vocabulary]
  const SamplingRow* params = nullptr;  // [rows]
  // [slots, vocabulary]: 2 * (how often the token is in the slot's output) + (1 if it is anywhere
  // in the sequence). CountTokensCuda() keeps it. nullptr where no row has a slot.
  const uint32_t* counts = nullptr;
  // [rows, ceil(vocabulary / 32)]: bit t % 32 of word t / 32 allows token t. nullptr: all are.
  const uint32_t* masks = nullptr;
  // Scratch.
  float* adjusted = nullptr;  // [rows, vocabulary]
  float* partials = nullptr;  // [rows, PartialsPerRow(vocabulary)], aligned to 8 bytes
  // A row from which nothing can be chosen (all logits -infinity, not-a-number or masked) gets -1.
  int32_t* tokens = nullptr;  // [rows]
  float* logprobs = nullptr;  // [rows]: natural, of the model's own logits

  static int64_t PartialsPerRow(int32_t vocabulary);
};

// Device pointers. Of tokens tied at the edge of top_k or top_p all are kept.
absl::Status SampleCuda(const Stream& stream, const SamplingBatch& batch);

// counts[slots[i], tokens[i]] as above, for tokens that have joined their sequence's prompt or
// output. Device pointers; entries with a negative slot or token are left out.
struct TokenCounts {
  int32_t count = 0;
  int32_t vocabulary = 0;
  const int32_t* slots = nullptr;   // [count]
  const int32_t* tokens = nullptr;  // [count]
  bool output = false;
  uint32_t* counts = nullptr;  // [slots, vocabulary]
};
absl::Status CountTokensCuda(const Stream& stream, const TokenCounts& tokens);
void CountTokensReference(const TokenCounts& tokens);

// 64 random bits for (seed, position, token): splitmix64's finaliser
// (https://prng.di.unimi.it/splitmix64.c) over the three.
constexpr uint64_t MixBits(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}
constexpr uint64_t NoiseBits(uint64_t seed, int64_t position, int32_t token) {
  const uint64_t row =
      MixBits(MixBits(seed + 0x9e3779b97f4a7c15u) ^ static_cast<uint64_t>(position));
  return MixBits(row + 0x9e3779b97f4a7c15u * (static_cast<uint64_t>(token) + 1));
}
// The bits as a number in (0, 1): small ones are exact, which is where Gumbel noise is large.
constexpr float NoiseShare(uint64_t bits) {
  const float share = (static_cast<float>(bits >> 32) + 0.5f) * 0x1p-32f;
  return share < 1 - 0x1p-24f ? share : 1 - 0x1p-24f;
}

// The oracle of one row, over host pointers and in double: each token's logit / temperature + noise
// (temperature 0: its logit), -infinity for those that are out. The largest is to be chosen.
std::vector<double> SamplingScoresReference(const SamplingBatch& batch, int32_t row);

}  // namespace spillway
