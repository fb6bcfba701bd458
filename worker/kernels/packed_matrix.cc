#include "worker/kernels/packed_matrix.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "common/check.h"
#include "worker/kernels/half.h"
#include "worker/kernels/quantize.h"

namespace spillway {
namespace {

constexpr WeightFormatInfo kFormats[kWeightFormatCount] = {
    {.name = "F32",
     .integer = false,
     .source_values = 1,
     .source_bytes = 4,
     .quant_bytes = 2048,
     .factor_count = 0,
     .zero_point = 0},
    {.name = "F16",
     .integer = false,
     .source_values = 1,
     .source_bytes = 2,
     .quant_bytes = 1024,
     .factor_count = 0,
     .zero_point = 0},
    {.name = "BF16",
     .integer = false,
     .source_values = 1,
     .source_bytes = 2,
     .quant_bytes = 1024,
     .factor_count = 0,
     .zero_point = 0},
    // f16 scale, 16 bytes of nibbles
    {.name = "Q4_0",
     .integer = true,
     .source_values = 32,
     .source_bytes = 18,
     .quant_bytes = 256,
     .factor_count = 1,
     .zero_point = 8},
    // f16 scale, f16 minimum, 16 bytes of nibbles
    {.name = "Q4_1",
     .integer = true,
     .source_values = 32,
     .source_bytes = 20,
     .quant_bytes = 256,
     .factor_count = 2,
     .zero_point = 0},
    // f16 scale, 32 signed bytes
    {.name = "Q8_0",
     .integer = true,
     .source_values = 32,
     .source_bytes = 34,
     .quant_bytes = 512,
     .factor_count = 1,
     .zero_point = 128},
};

constexpr int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

uint16_t LoadHalf(const std::byte* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  return half;
}

// Copies one block of 32 weights of a model file to where output lane `lane` has it.
void PackBlock(const WeightFormatInfo& info, const std::byte* block, int32_t lane,
               std::byte* quants, uint16_t* factors) {
  for (int32_t i = 0; i < info.factor_count; ++i) {
    factors[i * kPanelOutputs + lane] = LoadHalf(block + 2 * i);
  }
  const std::byte* const source = block + 2 * info.factor_count;
  const uint32_t flip = info.zero_point == 128 ? 0x80808080u : 0;  // signed bytes to bytes + 128
  for (int32_t group = 0; group < info.quant_bytes / 64; ++group) {
    uint32_t four;
    std::memcpy(&four, source + 4 * group, sizeof(four));
    four ^= flip;
    std::memcpy(quants + 64 * group + 4 * lane, &four, sizeof(four));
  }
}

// Copies a row of a float format to a panel's lane.
void PackFloatRow(int32_t value_bytes, const std::byte* row, int32_t inputs, int32_t lane,
                  std::byte* panel) {
  for (int32_t i = 0; i < inputs; ++i) {
    std::memcpy(panel + (int64_t{i} * kPanelOutputs + lane) * value_bytes,
                row + int64_t{i} * value_bytes, static_cast<size_t>(value_bytes));
  }
}

float FloatValue(WeightFormat format, const std::byte* value) {
  if (format == WeightFormat::kF32) {
    float result;
    std::memcpy(&result, value, sizeof(result));
    return result;
  }
  const uint16_t half = LoadHalf(value);
  if (format == WeightFormat::kF16) return HalfToFloat(half);
  return std::bit_cast<float>(static_cast<uint32_t>(half) << 16);
}

}  // namespace

const WeightFormatInfo& InfoOf(WeightFormat format) {
  return kFormats[static_cast<size_t>(format)];
}

int64_t PackedMatrix::panel_bytes() const {
  const WeightFormatInfo& info = InfoOf(format);
  if (!info.integer) return RoundUp(int64_t{inputs} * kPanelOutputs * info.source_bytes, 64);
  const int64_t blocks = inputs / kQuantBlock;
  return RoundUp(blocks * (info.quant_bytes + info.factor_count * kPanelOutputs * 2), 64);
}

int64_t SourceRowBytes(WeightFormat format, int32_t inputs) {
  const WeightFormatInfo& info = InfoOf(format);
  CHECK(inputs % info.source_values == 0);
  return int64_t{inputs} / info.source_values * info.source_bytes;
}

void PackPanels(const PackedMatrix& matrix, const std::byte* source, const int32_t* row_order,
                int32_t begin, int32_t end, std::byte* panels) {
  const WeightFormatInfo& info = InfoOf(matrix.format);
  const int64_t row_bytes = SourceRowBytes(matrix.format, matrix.inputs);
  const int32_t blocks = matrix.inputs / kQuantBlock;
  for (int32_t index = begin; index < end; ++index) {
    std::byte* const panel = panels + index * matrix.panel_bytes();
    std::memset(panel, 0, static_cast<size_t>(matrix.panel_bytes()));
    for (int32_t lane = 0; lane < kPanelOutputs; ++lane) {
      const int32_t output = index * kPanelOutputs + lane;
      if (output >= matrix.outputs) break;
      const std::byte* const row =
          source + (row_order == nullptr ? output : row_order[output]) * row_bytes;
      if (!info.integer) {
        PackFloatRow(info.source_bytes, row, matrix.inputs, lane, panel);
        continue;
      }
      uint16_t* const factors =
          reinterpret_cast<uint16_t*>(panel + int64_t{blocks} * info.quant_bytes);
      for (int32_t block = 0; block < blocks; ++block) {
        PackBlock(info, row + int64_t{block} * info.source_bytes, lane,
                  panel + int64_t{block} * info.quant_bytes,
                  factors + block * info.factor_count * kPanelOutputs);
      }
    }
  }
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
  const int32_t blocks = matrix.inputs / kQuantBlock;
  const std::byte* const factors = panel + int64_t{blocks} * info.quant_bytes;
  for (int32_t block = 0; block < blocks; ++block) {
    const auto factor = [&](int32_t i) {
      return HalfToFloat(
          LoadHalf(factors + 2 * ((block * info.factor_count + i) * kPanelOutputs + lane)));
    };
    const float scale = factor(0);
    const float minimum = info.factor_count > 1 ? factor(1) : 0.0f;
    const std::byte* const quants = panel + int64_t{block} * info.quant_bytes + 4 * lane;
    const bool nibbles = info.quant_bytes == 256;
    for (int32_t i = 0; i < kQuantBlock; ++i) {
      const int32_t within = nibbles ? i % 16 : i;
      int32_t quant = static_cast<int32_t>(quants[64 * (within / 4) + within % 4]);
      if (nibbles) quant = i < 16 ? quant & 0x0f : quant >> 4;
      out[block * kQuantBlock + i] =
          std::fma(static_cast<float>(quant - info.zero_point), scale, minimum);
    }
  }
}

}  // namespace spillway
