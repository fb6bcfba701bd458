#include <algorithm>
#include <cmath>
#include <limits>

#include "worker/kernels/quantize.h"

namespace spillway {

int64_t QuantizedRows::BytesFor(int64_t rows, int32_t columns) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  return tiles * columns / kQuantBlock * kTileRows *
         (kQuantBlock + 2 * sizeof(float) + sizeof(int32_t) + 2 * sizeof(int16_t));
}

QuantizedRows QuantizedRows::At(std::byte* memory, int64_t rows, int32_t columns) {
  const int64_t cells = (rows + kTileRows - 1) / kTileRows * columns / kQuantBlock * kTileRows;
  QuantizedRows result;
  result.columns = columns;
  result.values = reinterpret_cast<int8_t*>(memory);
  result.scales = reinterpret_cast<float*>(memory + cells * kQuantBlock);
  result.scaled_sums = result.scales + cells;
  result.sums = reinterpret_cast<int32_t*>(result.scaled_sums + cells);
  result.half_sums = reinterpret_cast<int16_t*>(result.sums + cells);
  return result;
}

void QuantizeRowReference(const float* x, const QuantizedRows& out, int64_t row) {
  for (int32_t block = 0; block < out.blocks(); ++block) {
    const float* const in = x + int64_t{block} * kQuantBlock;
    const int64_t cell = out.IndexOf(row, block);
    float largest = 0;
    bool finite = true;
    for (int32_t i = 0; i < kQuantBlock; ++i) {
      largest = std::max(largest, std::fabs(in[i]));
      finite = finite && std::isfinite(in[i]);
    }
    int32_t sums[2] = {};
    for (int32_t i = 0; i < kQuantBlock; ++i) {
      const float value =
          finite && largest >= kQuantSmallest ? std::nearbyint(in[i] * (127.0f / largest)) : 0.0f;
      out.values[cell * kQuantBlock + i] = static_cast<int8_t>(value);
      sums[i / (kQuantBlock / 2)] += static_cast<int32_t>(value);
    }
    if (largest < kQuantSmallest) largest = 0;
    out.scales[cell] = finite ? largest / 127.0f : std::numeric_limits<float>::quiet_NaN();
    out.sums[cell] = sums[0] + sums[1];
    out.scaled_sums[cell] = out.scales[cell] * static_cast<float>(out.sums[cell]);
    for (int32_t half = 0; half < 2; ++half) {
      out.half_sums[2 * cell + half] = static_cast<int16_t>(sums[half]);
    }
  }
}

}  // namespace spillway
