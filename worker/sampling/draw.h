#pragma once

#include <cstdint>

namespace spillway {

// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
// OOPSLA 2014; Vigna's constants, https://prng.di.unimi.it/splitmix64.c).
constexpr uint64_t SplitMix64Finalise(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// A number in [0, 1) that depends on nothing but `seed` and `position`: SplitMix64's output number
// `position` in the stream of the mixed seed. (Mixed, so that seeds a small way apart, which
// people like, don't walk through one another's streams.)
constexpr double UniformDraw(uint64_t seed, int64_t position) {
  constexpr uint64_t kGoldenGamma = 0x9e3779b97f4a7c15;
  const uint64_t state = SplitMix64Finalise(seed + kGoldenGamma) +
                         kGoldenGamma * (static_cast<uint64_t>(position) + 1);
  return static_cast<double>(SplitMix64Finalise(state) >> 11) * 0x1p-53;
}

}  // namespace spillway
