#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"

namespace spillway {

inline constexpr int32_t kRmsNormColumnsMax = 16384;

// Ends a branch (attention, or the feed-forward layer) and normalises the residual stream for the
// next one, for all rows of a step:
//   branch = delta[r] + delta_bias, which passes delta_norm where there is one
//   residual[r] += branch;   out[r] = residual[r] / sqrt(mean(residual[r]²) + epsilon) * weight
// The residual stream is kept in f32: it is small beside the weights, and sums of dozens of layers
// lose bits in 16.
struct RmsNormRows {
  int32_t rows = 0;                 // of out
  int32_t columns = 0;              // a multiple of 8, at most kRmsNormColumnsMax
  HalfType type = HalfType::kBf16;  // of delta and out
  float epsilon = 0;
  // Row r of out comes from row sources[r] of residual and delta, and residual is only read;
  // nullptr: from row r, and the sum is written back.
  const int32_t* sources = nullptr;   // [rows]
  float* residual = nullptr;          // [rows, columns] f32
  const uint16_t* delta = nullptr;    // [rows, columns]; nullptr: nothing is added
  const float* delta_bias = nullptr;  // [columns] f32; nullptr: none
  const float* delta_norm = nullptr;  // [columns] f32: the weights of an RMS norm; nullptr: none
  const float* weight = nullptr;      // [columns] f32
  uint16_t* out = nullptr;            // [rows, columns]
};

// Device pointers, aligned to 16 bytes. A row's result doesn't depend on the other rows.
absl::Status RmsNormCuda(const Stream& stream, const RmsNormRows& rows);

// The oracle, over host pointers.
void RmsNormRowsReference(const RmsNormRows& rows);

}  // namespace spillway
