#pragma once

// Stands before worker/kernels/cuda_mma.cuh in the emulator's include path: the same two functions,
// from the PTX manual's description of their fragments.

#include "worker/kernels/half.h"

namespace spillway {

template <HalfType kType>
void Mma16x8x16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&sums)[4]) {
  uint32_t words[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  struct Result {
    float sums[4];
  };
  const int g = emulator::Lane() / 4;
  const int t = emulator::Lane() % 4;
  const Result result = emulator::Exchange(words, 6, [&](const uint32_t(&given)[32][8]) {
    const auto half_of = [](uint32_t word, int part) {
      return ToFloat(kType, static_cast<uint16_t>(word >> 16 * part));
    };
    // Element (row, k) of a: register (row >= 8) + 2 * (k >= 8), lane 4 * (row % 8) + k % 8 / 2.
    const auto a_at = [&](int row, int k) {
      return half_of(given[4 * (row % 8) + k % 8 / 2][(row >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0)], k % 2);
    };
    // Element (k, column) of b: register k >= 8, lane 4 * column + k % 8 / 2.
    const auto b_at = [&](int k, int column) {
      return half_of(given[4 * column + k % 8 / 2][4 + (k >= 8 ? 1 : 0)], k % 2);
    };
    Result r = {};
    for (int i = 0; i < 4; ++i) {
      double sum = sums[i];
      for (int k = 0; k < 16; ++k) {
        sum += double{a_at(g + (i >= 2 ? 8 : 0), k)} * b_at(k, 2 * t + i % 2);
      }
      r.sums[i] = static_cast<float>(sum);
    }
    return r;
  });
  for (int i = 0; i < 4; ++i) sums[i] = result.sums[i];
}

inline void LoadMatricesTransposed(const uint16_t* row, uint32_t (&matrices)[4]) {
  uint32_t words[2];
  std::memcpy(words, &row, sizeof(row));
  struct Result {
    uint32_t matrices[4];
  };
  const int g = emulator::Lane() / 4;
  const int t = emulator::Lane() % 4;
  const Result result = emulator::Exchange(words, 2, [&](const uint32_t(&given)[32][8]) {
    Result r = {};
    for (int m = 0; m < 4; ++m) {
      const auto at = [&](int matrix_row, int column) {
        const uint16_t* from;
        std::memcpy(&from, given[8 * m + matrix_row], sizeof(from));
        return uint32_t{from[column]};
      };
      r.matrices[m] = at(2 * t, g) | at(2 * t + 1, g) << 16;
    }
    return r;
  });
  for (int m = 0; m < 4; ++m) matrices[m] = result.matrices[m];
}

}  // namespace spillway
