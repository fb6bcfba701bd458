#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/activation.h"
#include "worker/kernels/half.h"

namespace spillway {

// out[r, i] = activation(gate_up[r, i]) * gate_up[r, columns + i] for all rows of a step, biases
// added to both first: the middle of a gated MLP whose gate and up products lie side by side.
struct GatedRows {
  int32_t rows = 0;
  int32_t columns = 0;  // a multiple of 8
  HalfType type = HalfType::kBf16;
  GateActivation activation = GateActivation::kSilu;
  const uint16_t* gate_up = nullptr;  // [rows, 2, columns]
  const float* bias = nullptr;        // [2, columns] f32; nullptr: none
  uint16_t* out = nullptr;            // [rows, columns]
};

// Device pointers, aligned to 16 bytes.
absl::Status GatedActivationCuda(const Stream& stream, const GatedRows& rows);

// The oracle, over host pointers.
void GatedActivationReference(const GatedRows& rows);

}  // namespace spillway
