#include <bit>
#include <cstring>

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
struct BlockQ8_0 {
  uint16_t scale;
  int8_t values[32];
};

template <typename T>
T Read(const std::byte* from, int64_t index) {
  T value;
  std::memcpy(&value, from + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

}  // namespace

void DequantizeRowReference(WeightFormat format, const std::byte* row, int32_t inputs, float* out) {
  for (int32_t i = 0; i < inputs; ++i) {
    const int32_t block = i / 32;
    const int32_t j = i % 32;
    const auto nibble = [&](const uint8_t* nibbles) {
      return j < 16 ? nibbles[j] & 0x0f : nibbles[j - 16] >> 4;
    };
    switch (format) {
      case WeightFormat::kF32:
        out[i] = Read<float>(row, i);
        break;
      case WeightFormat::kF16:
        out[i] = HalfToFloat(Read<uint16_t>(row, i));
        break;
      case WeightFormat::kBf16:
        out[i] = std::bit_cast<float>(static_cast<uint32_t>(Read<uint16_t>(row, i)) << 16);
        break;
      case WeightFormat::kQ4_0: {
        const auto b = Read<BlockQ4_0>(row, block);
        out[i] = static_cast<float>(nibble(b.nibbles) - 8) * HalfToFloat(b.scale);
        break;
      }
      case WeightFormat::kQ4_1: {
        const auto b = Read<BlockQ4_1>(row, block);
        out[i] = static_cast<float>(double{HalfToFloat(b.scale)} * nibble(b.nibbles) +
                                    HalfToFloat(b.minimum));
        break;
      }
      case WeightFormat::kQ8_0: {
        const auto b = Read<BlockQ8_0>(row, block);
        out[i] = static_cast<float>(b.values[j]) * HalfToFloat(b.scale);
        break;
      }
    }
  }
}

}  // namespace spillway
