#pragma once

#include <cstddef>
#include <cstdint>

namespace spillway {

inline constexpr int32_t kQuantBlock = 32;  // inputs that share a scale
inline constexpr int32_t kTileRows = 8;     // rows that a matrix product takes at once
// A block whose largest magnitude is below this counts as zeros: 127 / it could be infinite.
inline constexpr float kQuantSmallest = 0x1p-119f;

// Rows of activations as 8-bit integers: x[i] is about values * scale of i's block.
// In tiles of 8 rows, so that a tile is contiguous and its rows lie at constant distances.
// A block that holds infinity or not-a-number has not-a-number as its scale, and so has what is
// computed from it.
struct QuantizedRows {
  int32_t columns = 0;           // a multiple of 32; blocks = columns / 32
  int8_t* values = nullptr;      // [tiles, blocks, 8, 32] in [-127, 127]
  float* scales = nullptr;       // [tiles, blocks, 8]
  float* scaled_sums = nullptr;  // [tiles, blocks, 8]: scale * the block's sum
  int32_t* sums = nullptr;       // [tiles, blocks, 8]: the sum of the block's values
  int16_t* half_sums = nullptr;  // [tiles, blocks, 8, 2]: of its first and last 16 values

  int32_t blocks() const { return columns / kQuantBlock; }
  // Where (row, block) lies: in scales, scaled_sums, sums, times 2 in half_sums and 32 in values.
  int64_t IndexOf(int64_t row, int64_t block) const {
    return (row / kTileRows * blocks() + block) * kTileRows + row % kTileRows;
  }

  // Room for `rows` rows in memory aligned to 64 bytes.
  static int64_t BytesFor(int64_t rows, int32_t columns);
  static QuantizedRows At(std::byte* memory, int64_t rows, int32_t columns);
};

// Quantises x, [columns] f32, into row `row` of `out`.
using QuantizeRowKernel = void (*)(const float* x, const QuantizedRows& out, int64_t row);

void QuantizeRowReference(const float* x, const QuantizedRows& out, int64_t row);

}  // namespace spillway
