#pragma once

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/kernels/cpu_kernels.h"

// What the operator tests share: seeded numbers, and one fixture per instruction set.

namespace spillway {

// Normally distributed, the same for a seed everywhere that libstdc++ is.
inline std::vector<float> RandomFloats(int64_t count, uint32_t seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// Equal bits: unlike ==, it tells -0 from 0 and lets not-a-number equal itself.
template <typename T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Runs a test once per instruction set of this machine. kernels() is the one under test; portable()
// is the scalar one, whose bits all others must have.
class KernelTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  const CpuKernels& kernels() const { return CpuKernelsFor(GetParam()); }
  const CpuKernels& portable() const { return CpuKernelsFor(CpuIsa::kScalar); }
};

#define INSTANTIATE_FOR_EVERY_ISA(Test)                                            \
  INSTANTIATE_TEST_SUITE_P(Isas, Test, ::testing::ValuesIn(SupportedCpuIsas()),    \
                           [](const ::testing::TestParamInfo<CpuIsa>& test_info) { \
                             return std::string(CpuIsaName(test_info.param));      \
                           })

// Room for quantised rows.
struct QuantizedRowsMemory {
  QuantizedRowsMemory(int64_t row_count, int32_t columns)
      : bytes(static_cast<size_t>(QuantizedRows::BytesFor(row_count, columns))),
        rows(QuantizedRows::At(bytes.data(), row_count, columns)) {}

  std::vector<std::byte> bytes;
  QuantizedRows rows;
};

}  // namespace spillway
