// PackPanels() of worker/kernels/packed_matrix.h. Block layouts as in ggml-common.h
// (https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h).

#include <cstring>

#include "common/check.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/kernels/quantize.h"

namespace spillway {
namespace {

// 32 weights of a row, on their way from a file's layout to a panel's.
struct Block {
  uint32_t quants[8];  // byte i % 4 of quants[i / 4] is input i
  uint8_t scales[2];   // as many as the format has sub-scales
  uint8_t minima[2];
};

uint32_t Word(const std::byte* bytes, int32_t index = 0) {
  uint32_t word;
  std::memcpy(&word, bytes + 4 * index, sizeof(word));
  return word;
}
uint32_t Byte(const std::byte* bytes, int32_t index) { return static_cast<uint32_t>(bytes[index]); }

// Field `shift` of each byte, `mask` wide.
constexpr uint32_t Fields(uint32_t word, int32_t shift, uint32_t mask) {
  return (word >> shift) & (mask * 0x01010101u);
}
// The lowest 4 bits of `bits`, one in each byte.
constexpr uint32_t OneInEachByte(uint32_t bits) {
  return ((bits & 0x0f) * 0x00204081u) & 0x01010101u;
}

// Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL and IQ4_XS: input i in the low half of byte i, input 16 + i in the
// high one.
void ReadNibbles(const std::byte* nibbles, Block& block) {
  for (int32_t i = 0; i < 4; ++i) {
    const uint32_t word = Word(nibbles, i);
    block.quants[i] = Fields(word, 0, 0x0f);
    block.quants[i + 4] = Fields(word, 4, 0x0f);
  }
}

void ReadFifthBits(uint32_t bits, Block& block) {
  for (int32_t i = 0; i < 8; ++i) block.quants[i] |= OneInEachByte(bits >> (4 * i)) << 4;
}

// The 6-bit scales and minima of Q4_K and Q5_K: get_scale_min_k4() of ggml-quants.c.
void ReadScaleAndMinimum(const std::byte* packed, int32_t part, Block& block) {
  uint32_t scale, minimum;
  if (part < 4) {
    scale = Byte(packed, part) & 0x3f;
    minimum = Byte(packed, part + 4) & 0x3f;
  } else {
    scale = (Byte(packed, part + 4) & 0x0f) | Byte(packed, part - 4) >> 6 << 4;
    minimum = Byte(packed, part + 4) >> 4 | Byte(packed, part) >> 6 << 4;
  }
  block.scales[0] = static_cast<uint8_t>(scale);
  block.minima[0] = static_cast<uint8_t>(minimum);
}

// Q4_K: f16 scale and minimum, 12 bytes of scales and minima, 128 of nibbles; each 32 of these have
// two parts. Q5_K has 32 bytes of fifth bits before them, part p in bit p.
void ReadQ4K(const std::byte* source, int32_t part, Block& block) {
  ReadScaleAndMinimum(source + 4, part, block);
  const std::byte* const nibbles = source + 16 + 32 * (part / 2);
  for (int32_t i = 0; i < 8; ++i) block.quants[i] = Fields(Word(nibbles, i), part % 2 * 4, 0x0f);
}
void ReadQ5K(const std::byte* source, int32_t part, Block& block) {
  ReadScaleAndMinimum(source + 4, part, block);
  const std::byte* const nibbles = source + 48 + 32 * (part / 2);
  for (int32_t i = 0; i < 8; ++i) {
    block.quants[i] = Fields(Word(nibbles, i), part % 2 * 4, 0x0f) |
                      Fields(Word(source + 16, i), part, 0x01) << 4;
  }
}

// Q6_K: 128 bytes of low nibbles, 64 of high bits, 16 signed scales, f16 scale. Each half of the
// inputs has half of the bytes and 4 parts.
void ReadQ6K(const std::byte* source, int32_t part, Block& block) {
  const int32_t within = part % 4;
  const std::byte* const low = source + 64 * (part / 4) + 32 * (within % 2);
  const std::byte* const high = source + 128 + 32 * (part / 4);
  for (int32_t i = 0; i < 8; ++i) {
    block.quants[i] =
        Fields(Word(low, i), within / 2 * 4, 0x0f) | Fields(Word(high, i), 2 * within, 0x03) << 4;
  }
  std::memcpy(block.scales, source + 192 + 2 * part, 2);
}

// Q2_K: 16 bytes with a scale in the low half and a minimum in the high one, 64 of quants (each
// half of the inputs 32 bytes, 4 parts), f16 scale and minimum.
void ReadQ2K(const std::byte* source, int32_t part, Block& block) {
  const std::byte* const quants = source + 16 + 32 * (part / 4);
  for (int32_t i = 0; i < 8; ++i) {
    block.quants[i] = Fields(Word(quants, i), 2 * (part % 4), 0x03);
  }
  for (int32_t i = 0; i < 2; ++i) {
    block.scales[i] = static_cast<uint8_t>(Byte(source, 2 * part + i) & 0x0f);
    block.minima[i] = static_cast<uint8_t>(Byte(source, 2 * part + i) >> 4);
  }
}

// Q3_K: 32 bytes of third bits, part p in bit p, 64 of low bits as in Q2_K, 12 of scales in 6 bits
// (their low nibbles, then their high bits), f16 scale.
void ReadQ3K(const std::byte* source, int32_t part, Block& block) {
  const std::byte* const low = source + 32 + 32 * (part / 4);
  for (int32_t i = 0; i < 8; ++i) {
    block.quants[i] =
        Fields(Word(low, i), 2 * (part % 4), 0x03) | Fields(Word(source, i), part, 0x01) << 2;
  }
  const std::byte* const scales = source + 96;
  for (int32_t i = 0; i < 2; ++i) {
    const int32_t index = 2 * part + i;
    const uint32_t low_bits = Byte(scales, index % 8) >> (index / 8 * 4) & 0x0f;
    const uint32_t high_bits = Byte(scales, 8 + index % 4) >> (index / 4 * 2) & 0x03;
    block.scales[i] = static_cast<uint8_t>((low_bits | high_bits << 4) - 32);
  }
}

// IQ4_XS: f16 scale, 2 bytes of high and 4 of low bits of scales, 128 bytes of nibbles.
void ReadIq4Xs(const std::byte* source, int32_t part, Block& block) {
  const uint32_t low_bits = Byte(source, 4 + part / 2) >> (part % 2 * 4) & 0x0f;
  const uint32_t high_bits = Byte(source, 2 + part / 4) >> (part % 4 * 2) & 0x03;
  block.scales[0] = static_cast<uint8_t>((low_bits | high_bits << 4) - 32);
  ReadNibbles(source + 8 + 16 * part, block);
}

// Reads 32 inputs, the `part`-th ones of the source block at `source`.
template <WeightFormat kFormat>
void ReadBlock(const std::byte* source, int32_t part, Block& block) {
  constexpr int32_t kFactorBytes = 2 * InfoOf(kFormat).factor_count;
  switch (kFormat) {
    case WeightFormat::kQ4_0:
    case WeightFormat::kQ4_1:
    case WeightFormat::kIQ4_NL:
      return ReadNibbles(source + kFactorBytes, block);
    case WeightFormat::kQ5_0:
    case WeightFormat::kQ5_1:
      ReadNibbles(source + kFactorBytes + 4, block);
      return ReadFifthBits(Word(source + kFactorBytes), block);
    case WeightFormat::kQ8_0:  // signed bytes to bytes + 128
      for (int32_t i = 0; i < 8; ++i) block.quants[i] = Word(source + 2, i) ^ 0x80808080u;
      return;
    case WeightFormat::kQ2_K:
      return ReadQ2K(source, part, block);
    case WeightFormat::kQ3_K:
      return ReadQ3K(source, part, block);
    case WeightFormat::kQ4_K:
      return ReadQ4K(source, part, block);
    case WeightFormat::kQ5_K:
      return ReadQ5K(source, part, block);
    case WeightFormat::kQ6_K:
      return ReadQ6K(source, part, block);
    case WeightFormat::kIQ4_XS:
      return ReadIq4Xs(source, part, block);
    case WeightFormat::kF32:
    case WeightFormat::kF16:
    case WeightFormat::kBf16:
      break;
  }
}

// Where a source block has its f16 factors.
constexpr int32_t FactorOffset(WeightFormat format) {
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

// Writes a block's quants in planes; `quants` is where its lane begins.
template <int32_t kBits>
void WriteQuants(const Block& block, std::byte* quants) {
  const auto write = [&](int32_t word, uint32_t value) {
    std::memcpy(quants + 64 * word, &value, sizeof(value));
  };
  const uint32_t* const q = block.quants;
  if constexpr (kBits == 8) {
    for (int32_t i = 0; i < 8; ++i) write(i, q[i]);
    return;
  }
  constexpr int32_t kLow = kBits >= 4 ? 4 : 2;
  if constexpr (kLow == 4) {
    for (int32_t i = 0; i < 4; ++i) {
      write(i, Fields(q[i], 0, 0x0f) | Fields(q[i + 4], 0, 0x0f) << 4);
    }
  }
  uint32_t ones = 0;
  for (int32_t half = 0; half < 2; ++half) {
    uint32_t low_pairs = 0;
    uint32_t high_pairs = 0;
    for (int32_t i = 0; i < 4; ++i) {
      const uint32_t word = q[4 * half + i];
      low_pairs |= Fields(word, 0, 0x03) << (2 * i);
      high_pairs |= Fields(word, 4, 0x03) << (2 * i);
      ones |= Fields(word, kLow, 0x01) << (4 * half + i);
    }
    if constexpr (kLow == 2) write(half, low_pairs);
    if constexpr (kBits == 6) write(4 + half, high_pairs);
  }
  if constexpr (kBits % 2 == 1) write(kLow, ones);
}

template <WeightFormat kFormat>
void PackIntegerRow(const PackedMatrix& matrix, const std::byte* row, int32_t lane,
                    std::byte* panel) {
  constexpr const WeightFormatInfo& kInfo = InfoOf(kFormat);
  constexpr int32_t kParts = kInfo.source_values / kQuantBlock;
  static_assert(kParts == kInfo.factor_blocks);
  std::byte* quants = panel + 4 * lane;
  std::byte* sub_scales = panel + matrix.sub_scale_offset() + lane;
  std::byte* factors = panel + matrix.factor_offset() + 2 * lane;
  for (int32_t i = 0; i < matrix.inputs; i += kInfo.source_values) {
    for (int32_t factor = 0; factor < kInfo.factor_count; ++factor) {
      std::memcpy(factors, row + FactorOffset(kFormat) + 2 * factor, 2);
      // With sub-scales, what the minimum gives is subtracted.
      if (kInfo.sub_scales > 0 && factor == 1) factors[1] ^= std::byte{0x80};
      factors += 2 * kPanelOutputs;
    }
    for (int32_t part = 0; part < kParts; ++part) {
      Block block;
      ReadBlock<kFormat>(row, part, block);
      WriteQuants<kInfo.quant_bits>(block, quants);
      for (int32_t j = 0; j < kInfo.sub_scales; ++j) {
        sub_scales[j * kPanelOutputs] = static_cast<std::byte>(block.scales[j]);
        if constexpr (kInfo.factor_count > 1) {
          sub_scales[(kInfo.sub_scales + j) * kPanelOutputs] =
              static_cast<std::byte>(block.minima[j]);
        }
      }
      quants += kInfo.quant_bytes();
      sub_scales += kInfo.sub_scale_bytes();
    }
    row += kInfo.source_bytes;
  }
}

template <typename T>
void PackFloatRow(const PackedMatrix& matrix, const std::byte* row, int32_t lane,
                  std::byte* panel) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(T));
  for (int64_t i = 0; i < matrix.inputs; ++i) {
    std::memcpy(panel + (i * kPanelOutputs + lane) * kBytes, row + i * kBytes, sizeof(T));
  }
}

// Copies a row of a model file to lane `lane` of `panel`.
using PackRow = void (*)(const PackedMatrix& matrix, const std::byte* row, int32_t lane,
                         std::byte* panel);

PackRow PackRowOf(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return PackFloatRow<uint32_t>;
    case WeightFormat::kF16:
    case WeightFormat::kBf16:
      return PackFloatRow<uint16_t>;
    case WeightFormat::kQ4_0:
      return PackIntegerRow<WeightFormat::kQ4_0>;
    case WeightFormat::kQ4_1:
      return PackIntegerRow<WeightFormat::kQ4_1>;
    case WeightFormat::kQ5_0:
      return PackIntegerRow<WeightFormat::kQ5_0>;
    case WeightFormat::kQ5_1:
      return PackIntegerRow<WeightFormat::kQ5_1>;
    case WeightFormat::kQ8_0:
      return PackIntegerRow<WeightFormat::kQ8_0>;
    case WeightFormat::kQ2_K:
      return PackIntegerRow<WeightFormat::kQ2_K>;
    case WeightFormat::kQ3_K:
      return PackIntegerRow<WeightFormat::kQ3_K>;
    case WeightFormat::kQ4_K:
      return PackIntegerRow<WeightFormat::kQ4_K>;
    case WeightFormat::kQ5_K:
      return PackIntegerRow<WeightFormat::kQ5_K>;
    case WeightFormat::kQ6_K:
      return PackIntegerRow<WeightFormat::kQ6_K>;
    case WeightFormat::kIQ4_NL:
      return PackIntegerRow<WeightFormat::kIQ4_NL>;
    case WeightFormat::kIQ4_XS:
      return PackIntegerRow<WeightFormat::kIQ4_XS>;
  }
  CHECK(false);
}

}  // namespace

void PackPanels(const PackedMatrix& matrix, const std::byte* source, const int32_t* row_order,
                int32_t begin, int32_t end, std::byte* panels) {
  const PackRow pack_row = PackRowOf(matrix.format);
  const int64_t row_bytes = SourceRowBytes(matrix.format, matrix.inputs);
  for (int32_t index = begin; index < end; ++index) {
    std::byte* const panel = panels + index * matrix.panel_bytes();
    std::memset(panel, 0, static_cast<size_t>(matrix.panel_bytes()));
    for (int32_t lane = 0; lane < kPanelOutputs; ++lane) {
      const int32_t output = index * kPanelOutputs + lane;
      if (output >= matrix.outputs) break;
      const int32_t row = row_order == nullptr ? output : row_order[output];
      pack_row(matrix, source + row * row_bytes, lane, panel);
    }
  }
}

}  // namespace spillway
