#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/cuda_test.h"
#include "tests/worker/kernels/kernel_cases.h"
#include "worker/kernels/half.h"

// What the tests of CUDA operators share.

namespace spillway {

// Normally distributed values of a 16-bit type.
inline std::vector<uint16_t> RandomHalves(HalfType type, int64_t count, uint32_t seed,
                                          float scale = 1) {
  std::vector<uint16_t> halves;
  halves.reserve(static_cast<size_t>(count));
  for (const float value : RandomFloats(count, seed, scale)) {
    halves.push_back(FromFloat(type, value));
  }
  return halves;
}

inline std::vector<float> ToFloats(HalfType type, const std::vector<uint16_t>& halves) {
  std::vector<float> values;
  values.reserve(halves.size());
  for (const uint16_t half : halves) values.push_back(ToFloat(type, half));
  return values;
}

// One unit in the last place of 1.0: how far rounding to the type may move a value, twice over.
inline float EpsilonOf(HalfType type) { return type == HalfType::kF16 ? 0x1p-10f : 0x1p-7f; }

inline std::string NameOf(HalfType type) { return type == HalfType::kF16 ? "f16" : "bf16"; }

// |values - expected| <= tolerance * max(1, |expected|) for each; tells the first that isn't.
// Not-a-number, which unwritten results are, is never close.
inline ::testing::AssertionResult AreClose(const std::vector<float>& values,
                                           const std::vector<float>& expected, float tolerance) {
  if (values.size() != expected.size()) {
    return ::testing::AssertionFailure() << values.size() << " values, not " << expected.size();
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const float allowed = tolerance * std::max(1.0f, std::abs(expected[i]));
    if (!(std::abs(values[i] - expected[i]) <= allowed)) {
      return ::testing::AssertionFailure() << "value " << i << " is " << values[i] << ", expected "
                                           << expected[i] << " within " << allowed;
    }
  }
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult AreClose(HalfType type, const std::vector<uint16_t>& values,
                                           const std::vector<uint16_t>& expected, float tolerance) {
  return AreClose(ToFloats(type, values), ToFloats(type, expected), tolerance);
}

}  // namespace spillway
