#include <bit>
#include <cstring>
#include <utility>

#include "worker/kernels/half.h"
#include "worker/kernels/packed_matrix.h"

namespace spillway {
namespace {

// Block layouts as in ggml-common.h
// (https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h).
struct BlockQ4_0 {
  uint16_t scale;
  uint8_t nibbles[16];
};
struct BlockQ4_1 {
  uint16_t scale;
  uint16_t minimum;
  uint8_t nibbles[16];
};
struct BlockQ5_0 {
  uint16_t scale;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};
struct BlockQ5_1 {
  uint16_t scale;
  uint16_t minimum;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};
struct BlockQ8_0 {
  uint16_t scale;
  int8_t values[32];
};
struct BlockQ2_K {
  uint8_t scales[16];  // minima in the high halves
  uint8_t pairs[64];
  uint16_t scale;
  uint16_t minimum;
};
struct BlockQ3_K {
  uint8_t third_bits[32];
  uint8_t pairs[64];
  uint8_t scales[12];
  uint16_t scale;
};
struct BlockQ4_K {
  uint16_t scale;
  uint16_t minimum;
  uint8_t scales[12];
  uint8_t nibbles[128];
};
struct BlockQ5_K {
  uint16_t scale;
  uint16_t minimum;
  uint8_t scales[12];
  uint8_t fifth_bits[32];
  uint8_t nibbles[128];
};
struct BlockQ6_K {
  uint8_t nibbles[128];
  uint8_t pairs[64];
  int8_t scales[16];
  uint16_t scale;
};
struct BlockIQ4_XS {
  uint16_t scale;
  uint16_t scales_high;
  uint8_t scales_low[4];
  uint8_t nibbles[128];
};

template <typename T>
T Read(const std::byte* from, int64_t index) {
  T value;
  std::memcpy(&value, from + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// Of 32 values: the first 16 in the low halves.
int Nibble(const uint8_t* nibbles, int32_t i) {
  return i < 16 ? nibbles[i] & 0x0f : nibbles[i - 16] >> 4;
}
int Bit(const uint8_t* bits, int32_t i) { return bits[i / 8] >> (i % 8) & 1; }

// Scale and minimum of the j-th 32 values of Q4_K and Q5_K.
std::pair<int, int> ScaleAndMinimum(const uint8_t (&q)[12], int32_t j) {
  if (j < 4) return {q[j] & 63, q[j + 4] & 63};
  return {(q[j + 4] & 0x0f) | (q[j - 4] >> 6) << 4, q[j + 4] >> 4 | (q[j] >> 6) << 4};
}

// The functions below give value i of a block of 256.

float ValueOf(const BlockQ2_K& b, int32_t i) {
  const int quant = b.pairs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
  const float scale = HalfToFloat(b.scale) * static_cast<float>(b.scales[i / 16] & 0x0f);
  const float minimum = HalfToFloat(b.minimum) * static_cast<float>(b.scales[i / 16] >> 4);
  return scale * static_cast<float>(quant) - minimum;
}

float ValueOf(const BlockQ3_K& b, int32_t i) {
  const int low = b.pairs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
  const int quant = low - (b.third_bits[i % 32] >> (i / 32) & 1 ? 0 : 4);
  const int32_t j = i / 16;
  const int low_scale = j < 8 ? b.scales[j] & 0x0f : b.scales[j - 8] >> 4;
  const int scale = low_scale | (b.scales[8 + j % 4] >> (j / 4 * 2) & 3) << 4;
  return HalfToFloat(b.scale) * static_cast<float>(scale - 32) * static_cast<float>(quant);
}

float ValueOf(const BlockQ4_K& b, int32_t i) {
  const uint8_t byte = b.nibbles[i / 64 * 32 + i % 32];
  const int quant = i % 64 < 32 ? byte & 0x0f : byte >> 4;
  const auto [scale, minimum] = ScaleAndMinimum(b.scales, i / 32);
  return HalfToFloat(b.scale) * static_cast<float>(scale) * static_cast<float>(quant) -
         HalfToFloat(b.minimum) * static_cast<float>(minimum);
}

float ValueOf(const BlockQ5_K& b, int32_t i) {
  const uint8_t byte = b.nibbles[i / 64 * 32 + i % 32];
  const int low = i % 64 < 32 ? byte & 0x0f : byte >> 4;
  const int quant = low + (b.fifth_bits[i % 32] >> (i / 32) & 1 ? 16 : 0);
  const auto [scale, minimum] = ScaleAndMinimum(b.scales, i / 32);
  return HalfToFloat(b.scale) * static_cast<float>(scale) * static_cast<float>(quant) -
         HalfToFloat(b.minimum) * static_cast<float>(minimum);
}

float ValueOf(const BlockQ6_K& b, int32_t i) {
  const int32_t within = i % 128;
  const uint8_t byte = b.nibbles[i / 128 * 64 + within % 64];
  const int low = within < 64 ? byte & 0x0f : byte >> 4;
  const int high = b.pairs[i / 128 * 32 + i % 32] >> (within / 32 * 2) & 3;
  return HalfToFloat(b.scale) * static_cast<float>(b.scales[i / 16]) *
         static_cast<float>((low | high << 4) - 32);
}

float ValueOf(const BlockIQ4_XS& b, int32_t i) {
  const int32_t j = i / 32;
  const int low = j % 2 == 0 ? b.scales_low[j / 2] & 0x0f : b.scales_low[j / 2] >> 4;
  const int scale = low | (b.scales_high >> (2 * j) & 3) << 4;
  return HalfToFloat(b.scale) * static_cast<float>(scale - 32) *
         static_cast<float>(kCodebook[Nibble(b.nibbles + 16 * j, i % 32)] - 128);
}

template <typename Block>
float ValueIn(const std::byte* row, int32_t i) {
  return ValueOf(Read<Block>(row, i / 256), i % 256);
}

float ValueAt(WeightFormat format, const std::byte* row, int32_t i) {
  const int32_t block = i / 32;
  const int32_t j = i % 32;
  switch (format) {
    case WeightFormat::kF32:
      return Read<float>(row, i);
    case WeightFormat::kF16:
      return HalfToFloat(Read<uint16_t>(row, i));
    case WeightFormat::kBf16:
      return BFloat16ToFloat(Read<uint16_t>(row, i));
    case WeightFormat::kQ4_0: {
      const auto b = Read<BlockQ4_0>(row, block);
      return static_cast<float>(Nibble(b.nibbles, j) - 8) * HalfToFloat(b.scale);
    }
    case WeightFormat::kQ4_1: {
      const auto b = Read<BlockQ4_1>(row, block);
      return static_cast<float>(Nibble(b.nibbles, j)) * HalfToFloat(b.scale) +
             HalfToFloat(b.minimum);
    }
    case WeightFormat::kQ5_0: {
      const auto b = Read<BlockQ5_0>(row, block);
      const int quant = (Nibble(b.nibbles, j) | Bit(b.fifth_bits, j) << 4) - 16;
      return static_cast<float>(quant) * HalfToFloat(b.scale);
    }
    case WeightFormat::kQ5_1: {
      const auto b = Read<BlockQ5_1>(row, block);
      const int quant = Nibble(b.nibbles, j) | Bit(b.fifth_bits, j) << 4;
      return static_cast<float>(quant) * HalfToFloat(b.scale) + HalfToFloat(b.minimum);
    }
    case WeightFormat::kQ8_0: {
      const auto b = Read<BlockQ8_0>(row, block);
      return static_cast<float>(b.values[j]) * HalfToFloat(b.scale);
    }
    case WeightFormat::kQ2_K:
      return ValueIn<BlockQ2_K>(row, i);
    case WeightFormat::kQ3_K:
      return ValueIn<BlockQ3_K>(row, i);
    case WeightFormat::kQ4_K:
      return ValueIn<BlockQ4_K>(row, i);
    case WeightFormat::kQ5_K:
      return ValueIn<BlockQ5_K>(row, i);
    case WeightFormat::kQ6_K:
      return ValueIn<BlockQ6_K>(row, i);
    case WeightFormat::kIQ4_NL: {
      const auto b = Read<BlockQ4_0>(row, block);
      return HalfToFloat(b.scale) * static_cast<float>(kCodebook[Nibble(b.nibbles, j)] - 128);
    }
    case WeightFormat::kIQ4_XS:
      return ValueIn<BlockIQ4_XS>(row, i);
  }
  return 0;
}

}  // namespace

void DequantizeRowReference(WeightFormat format, const std::byte* row, int32_t inputs, float* out) {
  for (int32_t i = 0; i < inputs; ++i) out[i] = ValueAt(format, row, i);
}

}  // namespace spillway
