#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"

namespace spillway {

// out[r, i] = silu(gate_up[r, i]) * gate_up[r, columns + i], silu(x) = x / (1 + e^-x), for all rows
// of a step: the middle of a gated MLP whose gate and up products are one matrix product.
struct GatedSiluRows {
  int32_t rows = 0;
  int32_t columns = 0;  // a multiple of 8
  HalfType type = HalfType::kBf16;
  const uint16_t* gate_up = nullptr;  // [rows, 2, columns]
  uint16_t* out = nullptr;            // [rows, columns]
};

// Device pointers, aligned to 16 bytes.
absl::Status GatedSiluCuda(const Stream& stream, const GatedSiluRows& rows);

// The oracle, over host pointers.
void GatedSiluReference(const GatedSiluRows& rows);

}  // namespace spillway
