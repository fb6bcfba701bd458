#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/half.h"
#include "worker/kernels/packed_matrix.h"

namespace spillway {

// A matrix [outputs, inputs] of one of ggml's formats with blocks of 32 inputs (Q4_0, Q4_1, Q8_0),
// as the GPU reads it: quants and factors apart, so that both are read in aligned, coalesced
// pieces.
//  quants  [outputs, blocks, 16 or 32] bytes, as in ggml's blocks: with 4 bits, byte j has input j
//  in
//          its low nibble and input 16 + j in its high one; with 8, byte j is input j, signed
//  factors [outputs, blocks, 1 or 2] f16: scale, and for Q4_1 minimum
struct QuantizedMatrixCuda {
  WeightFormat format = WeightFormat::kQ8_0;
  int32_t outputs = 0;
  int32_t inputs = 0;  // a multiple of 32
  const uint8_t* quants = nullptr;
  const uint16_t* factors = nullptr;

  int32_t blocks() const { return inputs / 32; }
  int64_t quant_bytes() const;  // of the whole matrix
  int64_t factor_count() const;
};

// True for the formats that the kernels below read.
bool IsQuantizedCudaFormat(WeightFormat format);

// Splits rows [begin, end) of a model file's matrix into the two parts: host memory, at load.
void SplitQuantizedRows(const QuantizedMatrixCuda& shape, const std::byte* source, int32_t begin,
                        int32_t end, uint8_t* quants, uint16_t* factors);

// Rows of activations as 8-bit integers, 32 to a block: x[i] is about values[i] * scale.
// scale = largest magnitude / 127, values = x * (127 / largest) rounded to nearest even: the same
// numbers as on the CPU (quantize.h).
struct QuantizedRowsCuda {
  int32_t rows = 0;
  int32_t columns = 0;       // a multiple of 32
  int8_t* values = nullptr;  // [rows, columns]
  float* factors = nullptr;  // [rows, blocks, 2]: scale, scale * sum of the block's values
};

// x [rows, columns] of `type`. Device pointers, aligned to 16 bytes.
absl::Status QuantizeRowsCuda(const Stream& stream, HalfType type, const uint16_t* x,
                              const QuantizedRowsCuda& out);
void QuantizeRowsReference(HalfType type, const uint16_t* x, const QuantizedRowsCuda& out);

// out[r, o] = sum over blocks of the integer dot product, scaled, for 1 to kGemvRowsMax rows.
struct QuantizedLinear {
  QuantizedMatrixCuda weight;
  QuantizedRowsCuda x;
  HalfType type = HalfType::kBf16;
  // One of the two, [rows, outputs].
  uint16_t* out = nullptr;
  float* out_f32 = nullptr;
};

// Device pointers, aligned to 16 bytes. A row's result doesn't depend on the number of rows.
absl::Status QuantizedGemvCuda(const Stream& stream, const QuantizedLinear& linear);

// The oracle, over host pointers, in double.
void QuantizedLinearReference(const QuantizedLinear& linear);

// The matrix as 16-bit weights, out [outputs, inputs]: more rows than kGemvRowsMax go through
// cuBLASLt. Device pointers, aligned to 16 bytes.
absl::Status DequantizeCuda(const Stream& stream, const QuantizedMatrixCuda& weight, HalfType type,
                            uint16_t* out);
void DequantizeReference(const QuantizedMatrixCuda& weight, HalfType type, uint16_t* out);

}  // namespace spillway
