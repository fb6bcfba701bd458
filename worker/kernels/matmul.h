#pragma once

#include <cstdint>

#include "worker/kernels/activation.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/kernels/quantize.h"

namespace spillway {

// The left side of a matrix product: integer formats read `quantized`, float formats `values`.
struct MatMulInput {
  int32_t row_count = 0;
  QuantizedRows quantized;        // [rows, inputs]
  const float* values = nullptr;  // [rows, inputs] f32, rows value_stride apart
  int64_t value_stride = 0;
};

// out[r, o] = (or +=) sum over i of input[r, i] * weight[o, i], for all rows and the outputs of
// panels [panel_begin, panel_end). `out` has room for whole panels: stride and size in multiples
// of 16. With b over the inputs that share a scale (32, or 16 with two sub-scales), in order, from
// 0:
//   sum = fma(integer dot product of b, weight scale * activation scale, sum)
//   sum = fma(weight minimum, activation scale * sum of b, sum)       where there are minima
// and for float formats sum = fma(weight, activation, sum) over inputs in order.
struct MatMulOutput {
  float* values = nullptr;  // [rows, outputs] f32
  int64_t stride = 0;
  bool add = false;
};
using MatMulKernel = void (*)(const PackedMatrix& weight, const MatMulInput& input,
                              int32_t panel_begin, int32_t panel_end, const MatMulOutput& out);

// out[r, o] = activation(gate product + gate bias) * (up product + up bias), for the outputs of
// panel pairs (32 outputs each) [pair_begin, pair_end): quantised, or as f32 when `values` is not
// null. `out` has room for whole pairs; outputs beyond the last are zero.
// Requires gate and up to be of one shape, and outputs to be a multiple of 32 where they are
// quantised; of any formats, if the input has the forms that both ask for.
struct GatedMatMulOutput {
  QuantizedRows quantized;
  float* values = nullptr;  // [rows, outputs] f32
  int64_t stride = 0;
  GateActivation activation = GateActivation::kSilu;
  // [outputs rounded up to 32] f32, zeros beyond the outputs; both or neither.
  const float* gate_bias = nullptr;
  const float* up_bias = nullptr;
};
using GatedMatMulKernel = void (*)(const PackedMatrix& gate, const PackedMatrix& up,
                                   const MatMulInput& input, int32_t pair_begin, int32_t pair_end,
                                   const GatedMatMulOutput& out);

// The oracle of both, in double over dequantised numbers: out [rows, outputs], rows
// matrix.outputs apart. `source` is the matrix as a model file has it.
void MatMulReference(const PackedMatrix& shape, const std::byte* source, const MatMulInput& input,
                     double* out);

}  // namespace spillway
