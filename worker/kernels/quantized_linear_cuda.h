#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"
#include "worker/kernels/embedding_cuda.h"
#include "worker/kernels/half.h"
#include "worker/kernels/packed_matrix.h"

namespace spillway {

// A matrix [outputs, inputs] of one of ggml's formats Q4_0, Q4_1, Q8_0, Q4_K and Q6_K, as the GPU
// reads it: quants and factors apart, in aligned pieces, a row of each contiguous. Inputs are in
// blocks of 32; of Q4_K and Q6_K eight blocks have a factor in common.
//  quants of a row, bytes
//    [blocks, 32]  Q8_0: byte j is input j, signed
//    [blocks, 16]  the others: byte j has input j in its low nibble and input 16 + j in its high
//    one [blocks, 2]   Q6_K also: words of the two high bits; those of input 16 h + j are in word h
//    from
//                  bit 8 (j % 4) + 2 (j / 4) on
//  factors of a row
//    [blocks] f16            Q4_0, Q8_0: scale
//    [blocks, 2] f16         Q4_1: scale, minimum
//    [blocks, 2] uint8       Q4_K: scale, minimum; then [blocks / 8, 2] f16: what they are
//    multiplied
//                            with, the minimum to be subtracted
//    [blocks, 2] int8        Q6_K: scales of inputs 0-15 and 16-31; then [blocks / 8] f16 likewise
struct QuantizedMatrixCuda {
  WeightFormat format = WeightFormat::kQ8_0;
  int32_t outputs = 0;
  int32_t inputs = 0;  // a multiple of 32; of Q4_K and Q6_K of 256
  const uint8_t* quants = nullptr;
  const std::byte* factors = nullptr;

  constexpr int32_t blocks() const { return inputs / 32; }
  constexpr int64_t quant_row_bytes() const {
    return int64_t{blocks()} * (format == WeightFormat::kQ8_0   ? 32
                                : format == WeightFormat::kQ6_K ? 24
                                                                : 16);
  }
  constexpr int64_t factor_row_bytes() const {
    const int64_t count = blocks();
    switch (format) {
      case WeightFormat::kQ4_1:
        return count * 4;
      case WeightFormat::kQ4_K:
        return count * 2 + count / 8 * 4;
      case WeightFormat::kQ6_K:
        return count * 2 + count / 8 * 2;
      default:
        return count * 2;
    }
  }
  constexpr int64_t quant_bytes() const { return outputs * quant_row_bytes(); }
  constexpr int64_t factor_bytes() const { return outputs * factor_row_bytes(); }
  // Outputs [begin, begin + count) alone.
  constexpr QuantizedMatrixCuda Rows(int32_t begin, int32_t count) const {
    QuantizedMatrixCuda rows = *this;
    rows.outputs = count;
    rows.quants += begin * quant_row_bytes();
    rows.factors += begin * factor_row_bytes();
    return rows;
  }
};

// True for the formats that the kernels below read.
bool IsQuantizedCudaFormat(WeightFormat format);

// Puts one row of a model file into the two forms: host memory, at load. One that is nullptr is
// left out.
void SplitQuantizedRow(const QuantizedMatrixCuda& shape, const std::byte* source, uint8_t* quants,
                       std::byte* factors);

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
  int32_t out_stride = 0;  // from one row of out to the next; 0: outputs

  constexpr int64_t OutputAt(int64_t row, int64_t output) const {
    return row * (out_stride > 0 ? out_stride : weight.outputs) + output;
  }
};

// Device pointers, aligned to 16 bytes. A row's result doesn't depend on the number of rows.
absl::Status QuantizedGemvCuda(const Stream& stream, const QuantizedLinear& linear);

// The oracle, over host pointers, in double.
void QuantizedLinearReference(const QuantizedLinear& linear);

// residual[r] = scale * the row of `table` that rows.tokens has, as embedding_cuda.h says it of
// 16-bit tables (rows.table isn't read). Device pointers, aligned to 16 bytes.
absl::Status QuantizedEmbeddingCuda(const Stream& stream, const EmbeddingRows& rows,
                                    const QuantizedMatrixCuda& table);
void QuantizedEmbeddingReference(const EmbeddingRows& rows, const QuantizedMatrixCuda& table);

// The matrix as 16-bit weights, out [outputs, inputs]: more rows than kGemvRowsMax go through
// cuBLASLt. Device pointers, aligned to 16 bytes.
absl::Status DequantizeCuda(const Stream& stream, const QuantizedMatrixCuda& weight, HalfType type,
                            uint16_t* out);
void DequantizeReference(const QuantizedMatrixCuda& weight, HalfType type, uint16_t* out);

}  // namespace spillway
