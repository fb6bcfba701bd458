#include "worker/kernels/packed_matrix.h"

#include <bit>
#include <cstring>

#include "common/check.h"
#include "worker/kernels/half.h"
#include "worker/kernels/quantize.h"

namespace spillway {
namespace {

constexpr int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

uint16_t LoadHalf(const std::byte* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  return half;
}

float FloatValue(WeightFormat format, const std::byte* value) {
  if (format == WeightFormat::kF32) {
    float result;
    std::memcpy(&result, value, sizeof(result));
    return result;
  }
  const uint16_t half = LoadHalf(value);
  return format == WeightFormat::kF16 ? HalfToFloat(half) : BFloat16ToFloat(half);
}

// Quant `i` of a block of 32, whose lane begins at `quants`.
int32_t QuantAt(const WeightFormatInfo& info, const std::byte* quants, int32_t i) {
  const int32_t g = i / 4;
  const auto bits = [&](int32_t word, int32_t shift, int32_t mask) {
    return (static_cast<int32_t>(quants[64 * word + i % 4]) >> shift) & mask;
  };
  switch (info.quant_bits) {
    case 2:
      return bits(g / 4, 2 * (g % 4), 0x03);
    case 3:
      return bits(g / 4, 2 * (g % 4), 0x03) | bits(2, g, 0x01) << 2;
    case 4:
      return bits(g % 4, g / 4 * 4, 0x0f);
    case 5:
      return bits(g % 4, g / 4 * 4, 0x0f) | bits(4, g, 0x01) << 4;
    case 6:
      return bits(g % 4, g / 4 * 4, 0x0f) | bits(4 + g / 4, 2 * (g % 4), 0x03) << 4;
    case 8:
      return bits(g, 0, 0xff);
    default:
      CHECK(false);
  }
}

}  // namespace

int64_t PackedMatrix::sub_scale_offset() const {
  return int64_t{inputs} / kQuantBlock * InfoOf(format).quant_bytes();
}

int64_t PackedMatrix::factor_offset() const {
  return sub_scale_offset() + int64_t{inputs} / kQuantBlock * InfoOf(format).sub_scale_bytes();
}

int64_t PackedMatrix::panel_bytes() const {
  const WeightFormatInfo& info = InfoOf(format);
  if (!info.integer) return RoundUp(int64_t{inputs} * kPanelOutputs * info.source_bytes, 64);
  const int64_t factors =
      inputs / (int64_t{kQuantBlock} * info.factor_blocks) * info.factor_count * kPanelOutputs;
  return RoundUp(factor_offset() + factors * static_cast<int64_t>(sizeof(uint16_t)), 64);
}

int64_t SourceRowBytes(WeightFormat format, int32_t inputs) {
  const WeightFormatInfo& info = InfoOf(format);
  CHECK(inputs % info.source_values == 0);
  return int64_t{inputs} / info.source_values * info.source_bytes;
}

void UnpackRow(const PackedMatrix& matrix, int32_t output, float* out) {
  const WeightFormatInfo& info = InfoOf(matrix.format);
  const std::byte* const panel = matrix.panel(output / kPanelOutputs);
  const int32_t lane = output % kPanelOutputs;
  if (!info.integer) {
    for (int32_t i = 0; i < matrix.inputs; ++i) {
      const int64_t index = int64_t{i} * kPanelOutputs + lane;
      out[i] = FloatValue(matrix.format, panel + index * info.source_bytes);
    }
    return;
  }
  const std::byte* const factors = panel + matrix.factor_offset();
  const std::byte* const sub_scales = panel + matrix.sub_scale_offset();
  // The `kind`-th factor (0: scale, 1: minimum) of a block's `part`-th share of inputs.
  const auto factor = [&](int32_t block, int32_t kind, int32_t part) {
    const int32_t index = block / info.factor_blocks * info.factor_count + kind;
    const float value =
        HalfToFloat(LoadHalf(factors + sizeof(uint16_t) * (index * kPanelOutputs + lane)));
    if (info.sub_scales == 0) return value;
    const std::byte* const of_block = sub_scales + int64_t{block} * info.sub_scale_bytes();
    const std::byte sub_scale = of_block[(kind * info.sub_scales + part) * kPanelOutputs + lane];
    return value * static_cast<float>(static_cast<int8_t>(sub_scale));
  };
  const int32_t parts = info.sub_scales > 1 ? info.sub_scales : 1;
  const int32_t part_inputs = kQuantBlock / parts;
  for (int32_t block = 0; block < matrix.inputs / kQuantBlock; ++block) {
    const std::byte* const quants = panel + int64_t{block} * info.quant_bytes() + int64_t{4} * lane;
    for (int32_t part = 0; part < parts; ++part) {
      const float scale = factor(block, 0, part);
      // Adding -0 changes nothing, not even the sign of a zero.
      const float minimum = info.factor_count > 1 ? factor(block, 1, part) : -0.0f;
      for (int32_t i = part * part_inputs; i < (part + 1) * part_inputs; ++i) {
        int32_t quant = QuantAt(info, quants, i);
        if (info.codebook) quant = kCodebook[quant];
        out[block * kQuantBlock + i] =
            static_cast<float>(quant - info.zero_point) * scale + minimum;
      }
    }
  }
}

}  // namespace spillway
