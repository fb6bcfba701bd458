#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "worker/kernels/half.h"
#include "worker/kernels/packed_matrix.h"

namespace spillway {

// Where a source block has its f16 factors.
inline size_t FactorOffset(WeightFormat format) {
  switch (format) {
    case WeightFormat::kQ2_K:
      return 80;
    case WeightFormat::kQ3_K:
      return 108;
    case WeightFormat::kQ6_K:
      return 208;
    default:
      return 0;
  }
}

// The root mean square of random sub-scales.
inline float SubScaleDeviation(WeightFormat format) {
  switch (format) {
    case WeightFormat::kQ2_K:
      return 8.8f;  // 0 to 15
    case WeightFormat::kQ3_K:
    case WeightFormat::kIQ4_XS:
      return 18.5f;  // -32 to 31
    case WeightFormat::kQ4_K:
    case WeightFormat::kQ5_K:
      return 36.5f;  // 0 to 63
    case WeightFormat::kQ6_K:
      return 74.0f;  // -128 to 127
    default:
      return 1;
  }
}

// A matrix as a model file would have it, of random bytes with sane factors.
inline std::vector<std::byte> RandomSource(WeightFormat format, int32_t outputs, int32_t inputs,
                                           uint32_t seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  const WeightFormatInfo& info = InfoOf(format);
  std::vector<std::byte> source(static_cast<size_t>(outputs * SourceRowBytes(format, inputs)));
  for (size_t i = 0; i < source.size(); i += static_cast<size_t>(info.source_bytes)) {
    if (!info.integer) {
      const uint32_t bits = std::bit_cast<uint32_t>(normal(random));
      const uint16_t half = format == WeightFormat::kF16 ? FloatToHalf(std::bit_cast<float>(bits))
                                                         : static_cast<uint16_t>(bits >> 16);
      std::memcpy(&source[i], info.source_bytes == 4 ? static_cast<const void*>(&bits) : &half,
                  static_cast<size_t>(info.source_bytes));
      continue;
    }
    for (size_t j = 0; j < static_cast<size_t>(info.source_bytes); ++j) {
      source[i + j] = static_cast<std::byte>(random() & 0xff);
    }
    // Quants and sub-scales are about uniform: factors that leave the weights at about `scale`.
    const float quant_deviation =
        info.codebook ? 69.0f : 0.29f * static_cast<float>(1 << info.quant_bits);
    const float quant_mean = info.codebook || info.zero_point > 0
                                 ? 0.0f
                                 : 0.5f * static_cast<float>((1 << info.quant_bits) - 1);
    const float jitter = 1 + 0.2f * normal(random) / scale;
    const float factor = jitter * scale / quant_deviation;
    const float minimum = quant_mean * factor;
    // With sub-scales the minimum is subtracted.
    const float sub_scale = SubScaleDeviation(format);
    const uint16_t factors[2] = {FloatToHalf(factor / sub_scale),
                                 FloatToHalf(info.sub_scales > 0 ? minimum / sub_scale : -minimum)};
    std::memcpy(&source[i + FactorOffset(format)], factors,
                static_cast<size_t>(2 * info.factor_count));
  }
  return source;
}

// The same, packed.
struct PackedWeights {
  PackedWeights(WeightFormat format, int32_t outputs, int32_t inputs, uint32_t seed,
                float scale = 0.5f)
      : source(RandomSource(format, outputs, inputs, seed, scale)) {
    matrix = {.format = format, .outputs = outputs, .inputs = inputs};
    panels.resize(static_cast<size_t>(matrix.bytes()) + 64);
    matrix.panels = Aligned();
    Pack();
  }

  void Pack() {
    PackPanels(matrix, source.data(), row_order.empty() ? nullptr : row_order.data(), 0,
               matrix.panel_count(), Aligned());
  }

  std::byte* Aligned() {
    return panels.data() + (64 - reinterpret_cast<uintptr_t>(panels.data()) % 64) % 64;
  }

  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  std::vector<std::byte> source;
  std::vector<int32_t> row_order;
  std::vector<std::byte> panels;
  PackedMatrix matrix;
};

}  // namespace spillway
