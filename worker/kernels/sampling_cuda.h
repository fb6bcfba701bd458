#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/device/stream.h"

namespace spillway {

// Choosing the next token of each row of a step on the device, so that tokens and not logits are
// copied to the host. The steps and their order are those of worker/sampling/sampling_params.h:
// logit biases, penalties, mask, temperature, top_k, top_p, min_p, one draw. (Log-probabilities of
// what was chosen are token_scores_cuda.h's.)
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
  int32_t top_k = 0;          // 0: all
  int32_t slot = -1;          // of `counts`; -1: no penalties
  int32_t sampled_slot = -1;  // where in `sampled` the token is left for the next step; -1: nowhere
  uint64_t seed = 0;
  int64_t position = 0;  // of the new token in its sequence
};

// Added to a row's logit of one token, before its penalties; -infinity bans the token. A row has at
// most one for each token.
struct LogitBias {
  int32_t row = 0;
  int32_t token = 0;
  float bias = 0;
};

struct SamplingBatch {
  int32_t rows = 0;
  int32_t vocabulary = 0;
  const float* logits = nullptr;         // rows of logits_stride
  int64_t logits_stride = 0;             // 0: vocabulary
  const int32_t* logits_rows = nullptr;  // [rows]: whose logits; nullptr: row i of logits for row i
  const SamplingRow* params = nullptr;   // [rows]
  const LogitBias* biases = nullptr;     // [bias_count]
  int32_t bias_count = 0;
  // [slots, vocabulary]: 2 * (how often the token is in the slot's output) + (1 if it is anywhere
  // in the sequence). CountTokensCuda() keeps it. nullptr where no row has a slot.
  uint32_t* counts = nullptr;
  bool count_sampled = false;  // whether a row's token joins its slot's counts, too
  // [rows, ceil(vocabulary / 32)]: bit t % 32 of word t / 32 allows token t. nullptr: all are.
  const uint32_t* masks = nullptr;
  // Scratch.
  float* adjusted = nullptr;  // [rows, vocabulary]
  float* partials = nullptr;  // [rows, PartialsPerRow(vocabulary)], aligned to 8 bytes
  // A row from which nothing can be chosen (all logits -infinity, not-a-number or masked) gets -1.
  int32_t* tokens = nullptr;   // [rows]
  int32_t* sampled = nullptr;  // [slots]: the same for EmbeddingRows, 0 where a row got -1

  static int64_t PartialsPerRow(int32_t vocabulary);
  constexpr int64_t LogitAt(int64_t row, int64_t token) const {
    const int64_t logits_row = logits_rows != nullptr ? logits_rows[row] : row;
    return logits_row * (logits_stride > 0 ? logits_stride : vocabulary) + token;
  }
};

// Device pointers. Of tokens tied at the edge of top_k or top_p all are kept.
absl::Status SampleCuda(const Stream& stream, const SamplingBatch& batch);

// counts[slots[i], tokens[i]] as above, for tokens that have joined their sequence's prompt or
// output. Device pointers; entries with a negative slot or token are left out.
struct TokenCounts {
  int32_t count = 0;
  int32_t vocabulary = 0;
  const int32_t* slots = nullptr;  // [count]; nullptr: all are `slot`'s
  int32_t slot = -1;
  const int32_t* tokens = nullptr;  // [count]
  bool output = false;
  uint32_t* counts = nullptr;  // [slots, vocabulary]

  constexpr int32_t SlotOf(int32_t i) const { return slots != nullptr ? slots[i] : slot; }
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
