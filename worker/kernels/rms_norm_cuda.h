#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"

namespace spillway {

inline constexpr int32_t kRmsNormColumnsMax = 16384;

// Adds the last layer's output to the residual stream and normalises it, for all rows of a step:
//   residual[r] += delta[r];   out[r] = residual[r] / sqrt(mean(residual[r]²) + epsilon) * weight
// The residual stream is kept in f32: it is small beside the weights, and sums of dozens of layers
// lose bits in 16.
struct RmsNormRows {
  int32_t rows = 0;
  int32_t columns = 0;              // a multiple of 8, at most kRmsNormColumnsMax
  HalfType type = HalfType::kBf16;  // of delta and out
  float epsilon = 0;
  float* residual = nullptr;        // [rows, columns] f32, read and written
  const uint16_t* delta = nullptr;  // [rows, columns]; nullptr: nothing is added
  const float* weight = nullptr;    // [columns] f32
  uint16_t* out = nullptr;          // [rows, columns]
};

// Device pointers, aligned to 16 bytes. A row's result doesn't depend on the other rows.
absl::Status RmsNormCuda(const Stream& stream, const RmsNormRows& rows);

// The oracle, over host pointers.
void RmsNormRowsReference(const RmsNormRows& rows);

}  // namespace spillway
