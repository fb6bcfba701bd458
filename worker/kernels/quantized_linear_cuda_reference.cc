#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/check.h"
#include "worker/kernels/quantize.h"
#include "worker/kernels/quantized_linear_cuda.h"

namespace spillway {
namespace {

int32_t QuantBytes(WeightFormat format) { return format == WeightFormat::kQ8_0 ? 32 : 16; }
int32_t FactorCount(WeightFormat format) { return format == WeightFormat::kQ4_1 ? 2 : 1; }

// The weights of one output, [inputs], exact.
std::vector<double> WeightsOf(const QuantizedMatrixCuda& matrix, int64_t output) {
  const int32_t quant_bytes = QuantBytes(matrix.format);
  const int32_t factor_count = FactorCount(matrix.format);
  std::vector<double> weights(static_cast<size_t>(matrix.inputs));
  for (int32_t i = 0; i < matrix.inputs; ++i) {
    const int64_t block = output * matrix.blocks() + i / 32;
    const int32_t j = i % 32;
    const uint8_t* const quants = matrix.quants + block * quant_bytes;
    const uint16_t* const factors = matrix.factors + block * factor_count;
    int32_t quant = static_cast<int8_t>(quants[j % quant_bytes]);
    if (quant_bytes == 16) quant = j < 16 ? quants[j] & 0x0f : quants[j - 16] >> 4;
    if (matrix.format == WeightFormat::kQ4_0) quant -= 8;
    const double minimum = factor_count == 2 ? HalfToFloat(factors[1]) : 0.0f;
    weights[static_cast<size_t>(i)] = double{HalfToFloat(factors[0])} * quant + minimum;
  }
  return weights;
}

}  // namespace

bool IsQuantizedCudaFormat(WeightFormat format) {
  return format == WeightFormat::kQ4_0 || format == WeightFormat::kQ4_1 ||
         format == WeightFormat::kQ8_0;
}

int64_t QuantizedMatrixCuda::quant_bytes() const {
  return int64_t{outputs} * blocks() * QuantBytes(format);
}

int64_t QuantizedMatrixCuda::factor_count() const {
  return int64_t{outputs} * blocks() * FactorCount(format);
}

void SplitQuantizedRows(const QuantizedMatrixCuda& shape, const std::byte* source, int32_t begin,
                        int32_t end, uint8_t* quants, uint16_t* factors) {
  CHECK(IsQuantizedCudaFormat(shape.format) && shape.inputs % 32 == 0);
  const int32_t quant_bytes = QuantBytes(shape.format);
  const int32_t factor_count = FactorCount(shape.format);
  const int32_t factor_bytes = 2 * factor_count;
  for (int64_t block = int64_t{begin} * shape.blocks(); block < int64_t{end} * shape.blocks();
       ++block) {
    const std::byte* const from = source + block * (factor_bytes + quant_bytes);
    std::memcpy(factors + block * factor_count, from, static_cast<size_t>(factor_bytes));
    std::memcpy(quants + block * quant_bytes, from + factor_bytes,
                static_cast<size_t>(quant_bytes));
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
      const int64_t at = row * outputs + output;
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
