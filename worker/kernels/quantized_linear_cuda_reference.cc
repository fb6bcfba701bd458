#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/check.h"
#include "worker/kernels/quantize.h"
#include "worker/kernels/quantized_linear_cuda.h"

namespace spillway {
namespace {

constexpr int32_t kBlock = 32;
constexpr int32_t kSuperBlocks = 8;  // blocks that share a factor in Q4_K and Q6_K

bool IsSuper(WeightFormat format) {
  return format == WeightFormat::kQ4_K || format == WeightFormat::kQ6_K;
}

uint8_t Byte(const std::byte* from) { return std::to_integer<uint8_t>(*from); }
uint16_t Half(const std::byte* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof(half));
  return half;
}

// A block of a model file's row: its quants, and what get_scale_min_k4() of ggml-quants.c unpacks
// of Q4_K.
struct SourceBlock {
  uint8_t quants[kBlock];   // unsigned; of Q8_0 the signed bytes
  uint8_t factors[2] = {};  // 8-bit, of Q4_K and Q6_K
};

SourceBlock ReadQ4K(const std::byte* super, int32_t block) {
  SourceBlock result;
  const std::byte* const scales = super + 4;
  const std::byte* const quants = super + 16 + block / 2 * 32;
  for (int32_t i = 0; i < kBlock; ++i) result.quants[i] = Byte(quants + i) >> 4 * (block % 2) & 0xf;
  const auto scale_at = [&](int32_t i) { return Byte(scales + i); };
  if (block < 4) {
    result.factors[0] = scale_at(block) & 63;
    result.factors[1] = scale_at(block + 4) & 63;
  } else {
    result.factors[0] =
        static_cast<uint8_t>((scale_at(block + 4) & 0xf) | scale_at(block - 4) >> 6 << 4);
    result.factors[1] = static_cast<uint8_t>(scale_at(block + 4) >> 4 | scale_at(block) >> 6 << 4);
  }
  return result;
}

// dequantize_row_q6_K() of ggml-quants.c: 128 inputs at a time, in four rows of 32.
SourceBlock ReadQ6K(const std::byte* super, int32_t block) {
  SourceBlock result;
  const int32_t row = block % 4;
  const std::byte* const low = super + block / 4 * 64 + row % 2 * 32;
  const std::byte* const high = super + 128 + block / 4 * 32;
  for (int32_t i = 0; i < kBlock; ++i) {
    const int32_t four = Byte(low + i) >> 4 * (row / 2) & 0xf;
    const int32_t two = Byte(high + i) >> 2 * row & 3;
    result.quants[i] = static_cast<uint8_t>(four | two << 4);
  }
  for (int32_t i = 0; i < 2; ++i) result.factors[i] = Byte(super + 192 + 2 * block + i);
  return result;
}

SourceBlock ReadSimple(WeightFormat format, const std::byte* source) {
  SourceBlock result;
  const std::byte* const quants = source + (format == WeightFormat::kQ4_1 ? 4 : 2);
  for (int32_t i = 0; i < kBlock; ++i) {
    result.quants[i] = format == WeightFormat::kQ8_0 ? Byte(quants + i)
                                                     : Byte(quants + i % 16) >> 4 * (i / 16) & 0xf;
  }
  return result;
}

SourceBlock ReadBlock(WeightFormat format, const std::byte* row, int32_t block) {
  const WeightFormatInfo& info = InfoOf(format);
  if (!IsSuper(format)) return ReadSimple(format, row + block * info.source_bytes);
  const std::byte* const super = row + block / kSuperBlocks * info.source_bytes;
  return format == WeightFormat::kQ4_K ? ReadQ4K(super, block % kSuperBlocks)
                                       : ReadQ6K(super, block % kSuperBlocks);
}

void WriteQuants(const QuantizedMatrixCuda& shape, int32_t block, const uint8_t (&values)[kBlock],
                 uint8_t* row) {
  if (shape.format == WeightFormat::kQ8_0) {
    std::copy_n(values, kBlock, row + block * kBlock);
    return;
  }
  uint8_t* const low = row + block * 16;
  for (int32_t j = 0; j < 16; ++j) {
    low[j] = static_cast<uint8_t>((values[j] & 0xf) | (values[16 + j] & 0xf) << 4);
  }
  if (shape.format != WeightFormat::kQ6_K) return;
  uint32_t words[2] = {};
  for (int32_t i = 0; i < kBlock; ++i) {
    const int32_t j = i % 16;
    words[i / 16] |= static_cast<uint32_t>(values[i] >> 4) << (8 * (j % 4) + 2 * (j / 4));
  }
  std::memcpy(row + shape.blocks() * 16 + block * 8, words, sizeof(words));
}

// The weights of one output, [inputs], exact.
std::vector<double> WeightsOf(const QuantizedMatrixCuda& matrix, int64_t output) {
  const uint8_t* const quants = matrix.quants + output * matrix.quant_row_bytes();
  const std::byte* const factors = matrix.factors + output * matrix.factor_row_bytes();
  const int32_t blocks = matrix.blocks();
  std::vector<double> weights(static_cast<size_t>(matrix.inputs));
  for (int32_t i = 0; i < matrix.inputs; ++i) {
    const int32_t block = i / kBlock;
    const int32_t j = i % kBlock;
    int32_t quant = matrix.format == WeightFormat::kQ8_0
                        ? static_cast<int8_t>(quants[i])
                        : quants[block * 16 + j % 16] >> 4 * (j / 16) & 0xf;
    double scale = 0;
    double minimum = 0;
    const std::byte* const supers = factors + blocks * 2;
    switch (matrix.format) {
      case WeightFormat::kQ4_1:
        scale = HalfToFloat(Half(factors + block * 4));
        minimum = HalfToFloat(Half(factors + block * 4 + 2));
        break;
      case WeightFormat::kQ4_K:
        scale = double{HalfToFloat(Half(supers + block / 8 * 4))} * Byte(factors + block * 2);
        minimum =
            -double{HalfToFloat(Half(supers + block / 8 * 4 + 2))} * Byte(factors + block * 2 + 1);
        break;
      case WeightFormat::kQ6_K: {
        uint32_t word;
        std::memcpy(&word, quants + blocks * 16 + block * 8 + j / 16 * 4, sizeof(word));
        quant |= static_cast<int32_t>(word >> (8 * (j % 4) + 2 * (j % 16 / 4)) & 3) << 4;
        quant -= 32;
        scale = double{HalfToFloat(Half(supers + block / 8 * 2))} *
                static_cast<int8_t>(Byte(factors + block * 2 + j / 16));
        break;
      }
      default:
        scale = HalfToFloat(Half(factors + block * 2));
        if (matrix.format == WeightFormat::kQ4_0) quant -= 8;
    }
    weights[static_cast<size_t>(i)] = scale * quant + minimum;
  }
  return weights;
}

}  // namespace

bool IsQuantizedCudaFormat(WeightFormat format) {
  return format == WeightFormat::kQ4_0 || format == WeightFormat::kQ4_1 ||
         format == WeightFormat::kQ8_0 || IsSuper(format);
}

void SplitQuantizedRow(const QuantizedMatrixCuda& shape, const std::byte* source, uint8_t* quants,
                       std::byte* factors) {
  CHECK(IsQuantizedCudaFormat(shape.format) && shape.inputs % kBlock == 0);
  const WeightFormatInfo& info = InfoOf(shape.format);
  const int32_t blocks = shape.blocks();
  for (int32_t block = 0; block < blocks; ++block) {
    const SourceBlock from = ReadBlock(shape.format, source, block);
    if (quants != nullptr) WriteQuants(shape, block, from.quants, quants);
    if (factors == nullptr) continue;
    if (!IsSuper(shape.format)) {
      const auto bytes = static_cast<size_t>(2 * info.factor_count);
      std::memcpy(factors + block * static_cast<int32_t>(bytes), source + block * info.source_bytes,
                  bytes);
      continue;
    }
    std::memcpy(factors + block * 2, from.factors, 2);
    // The factors of a super-block: d and dmin at the front of Q4_K, d at the end of Q6_K.
    const std::byte* const super = source + block / kSuperBlocks * info.source_bytes;
    const auto bytes = static_cast<size_t>(2 * info.factor_count);
    const int32_t at = shape.format == WeightFormat::kQ4_K ? 0 : info.source_bytes - 2;
    std::memcpy(factors + blocks * 2 + block / kSuperBlocks * static_cast<int32_t>(bytes),
                super + at, bytes);
  }
}

void QuantizedEmbeddingReference(const EmbeddingRows& rows, const QuantizedMatrixCuda& table) {
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t token = TokenOf(rows, row);
    float* const out = rows.residual + row * rows.columns;
    std::fill_n(out, rows.columns, 0.0f);
    if (token < 0 || token >= rows.vocabulary) continue;
    const std::vector<double> weights = WeightsOf(table, token);
    for (int32_t i = 0; i < rows.columns; ++i) {
      out[i] = static_cast<float>(rows.scale * weights[static_cast<size_t>(i)]);
    }
  }
}

void QuantizeRowsReference(HalfType type, const uint16_t* x, const QuantizedRowsCuda& out) {
  for (int64_t block = 0; block < int64_t{out.rows} * (out.columns / 32); ++block) {
    const uint16_t* const from = x + block * 32;
    float largest = 0;
    bool finite = true;
    for (int32_t i = 0; i < 32; ++i) {
      const float value = ToFloat(type, from[i]);
      finite = finite && std::isfinite(value);
      largest = std::max(largest, std::abs(value));
    }
    const bool zero = largest < kQuantSmallest || !finite;
    const float inverse = zero ? 0.0f : 127.0f / largest;
    int32_t sum = 0;
    for (int32_t i = 0; i < 32; ++i) {
      const float value = finite ? ToFloat(type, from[i]) : 0.0f;
      const auto quant = static_cast<int8_t>(std::nearbyint(value * inverse));
      out.values[block * 32 + i] = quant;
      sum += quant;
    }
    const float scale = !finite ? NAN : zero ? 0.0f : largest / 127.0f;
    out.factors[2 * block] = scale;
    out.factors[2 * block + 1] = scale * static_cast<float>(sum);
  }
}

void QuantizedLinearReference(const QuantizedLinear& linear) {
  const QuantizedRowsCuda& x = linear.x;
  const int32_t outputs = linear.weight.outputs;
  for (int32_t output = 0; output < outputs; ++output) {
    const std::vector<double> weights = WeightsOf(linear.weight, output);
    for (int64_t row = 0; row < x.rows; ++row) {
      double sum = 0;
      for (int32_t i = 0; i < x.columns; ++i) {
        const double scale = x.factors[2 * (row * (x.columns / 32) + i / 32)];
        sum += scale * x.values[row * x.columns + i] * weights[static_cast<size_t>(i)];
      }
      const int64_t at = linear.OutputAt(row, output);
      if (linear.out != nullptr) {
        linear.out[at] = FromFloat(linear.type, static_cast<float>(sum));
      } else {
        linear.out_f32[at] = static_cast<float>(sum);
      }
    }
  }
}

void DequantizeReference(const QuantizedMatrixCuda& weight, HalfType type, uint16_t* out) {
  for (int64_t output = 0; output < weight.outputs; ++output) {
    const std::vector<double> weights = WeightsOf(weight, output);
    for (int32_t i = 0; i < weight.inputs; ++i) {
      out[output * weight.inputs + i] =
          FromFloat(type, static_cast<float>(weights[static_cast<size_t>(i)]));
    }
  }
}

}  // namespace spillway
