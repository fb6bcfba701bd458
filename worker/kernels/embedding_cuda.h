#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"

namespace spillway {

// residual[r] = scale * table[tokens[r]], for all rows of a step. A token below -1 stands for what
// the step before sampled: PendingToken(slot) for sampled[slot]. Any other that is outside
// [0, vocabulary) gives zeros: padding, or a token that a broken step made up.
constexpr int32_t PendingToken(int32_t slot) { return -2 - slot; }

struct EmbeddingRows {
  int32_t rows = 0;
  int32_t columns = 0;  // a multiple of 8
  int32_t vocabulary = 0;
  HalfType type = HalfType::kBf16;   // of table
  float scale = 1;                   // Gemma: sqrt(columns); else 1
  const uint16_t* table = nullptr;   // [vocabulary, columns]
  const int32_t* tokens = nullptr;   // [rows]
  const int32_t* sampled = nullptr;  // [slots]; not read where no token is pending
  float* residual = nullptr;         // [rows, columns] f32
};

// The token of row `row`, whichever way it is given.
constexpr int64_t TokenOf(const EmbeddingRows& rows, int64_t row) {
  const int32_t token = rows.tokens[row];
  return token < -1 ? rows.sampled[-2 - token] : token;
}

// Device pointers, aligned to 16 bytes.
absl::Status EmbeddingCuda(const Stream& stream, const EmbeddingRows& rows);

// The oracle, over host pointers.
void EmbeddingReference(const EmbeddingRows& rows);

}  // namespace spillway
