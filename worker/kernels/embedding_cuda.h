#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"

namespace spillway {

// residual[r] = scale * table[tokens[r]], for all rows of a step. A row whose token is outside
// [0, vocabulary) gets zeros: padding, or a token that a broken step made up.
struct EmbeddingRows {
  int32_t rows = 0;
  int32_t columns = 0;  // a multiple of 8
  int32_t vocabulary = 0;
  HalfType type = HalfType::kBf16;  // of table
  float scale = 1;                  // Gemma: sqrt(columns); else 1
  const uint16_t* table = nullptr;  // [vocabulary, columns]
  const int32_t* tokens = nullptr;  // [rows]: may be what the step before sampled
  float* residual = nullptr;        // [rows, columns] f32
};

// Device pointers, aligned to 16 bytes.
absl::Status EmbeddingCuda(const Stream& stream, const EmbeddingRows& rows);

// The oracle, over host pointers.
void EmbeddingReference(const EmbeddingRows& rows);

}  // namespace spillway
