// Records blocks of every tensor type that we read with the values that ggml gives them: the oracle
// of worker/kernels/packed_matrix.h.
//
//   dump_blocks > tests/worker/kernels/testdata/ggml_blocks.txt
//
// A line is "TYPE KIND BLOCKS VALUES": 256 values of it, in hexadecimal, little-endian bytes, the
// values as f32. Kinds:
//   quantised  what ggml_quantize_chunk() makes of normally distributed numbers and a few outliers
//   random     random bytes, but for the f16 factors, which are finite and of both signs
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "ggml.h"

namespace {

constexpr int kValues = 256;

struct Type {
  ggml_type type;
  std::vector<size_t> factor_offsets;  // of the f16 factors in a block
};

const Type kTypes[] = {
    {GGML_TYPE_F32, {}},      {GGML_TYPE_F16, {}},      {GGML_TYPE_BF16, {}},
    {GGML_TYPE_Q4_0, {0}},    {GGML_TYPE_Q4_1, {0, 2}}, {GGML_TYPE_Q5_0, {0}},
    {GGML_TYPE_Q5_1, {0, 2}}, {GGML_TYPE_Q8_0, {0}},    {GGML_TYPE_Q2_K, {80, 82}},
    {GGML_TYPE_Q3_K, {108}},  {GGML_TYPE_Q4_K, {0, 2}}, {GGML_TYPE_Q5_K, {0, 2}},
    {GGML_TYPE_Q6_K, {208}},  {GGML_TYPE_IQ4_NL, {0}},  {GGML_TYPE_IQ4_XS, {0}},
};

std::mt19937 random_bits(4);

std::vector<float> Numbers() {
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> numbers(kValues);
  for (float& number : numbers) number = normal(random_bits);
  for (int i = 0; i < kValues; i += 50) numbers[static_cast<size_t>(i)] *= 8;
  return numbers;
}

std::vector<uint8_t> Quantised(ggml_type type) {
  const std::vector<float> numbers = Numbers();
  std::vector<uint8_t> blocks(ggml_row_size(type, kValues));
  ggml_quantize_chunk(type, numbers.data(), blocks.data(), 0, 1, kValues, nullptr);
  return blocks;
}

std::vector<uint8_t> RandomBlocks(const Type& type) {
  std::vector<uint8_t> blocks(ggml_row_size(type.type, kValues));
  for (uint8_t& byte : blocks) byte = static_cast<uint8_t>(random_bits());
  const size_t block_bytes = ggml_type_size(type.type);
  for (size_t block = 0; block < blocks.size(); block += block_bytes) {
    for (const size_t offset : type.factor_offsets) {
      // Any sign and fraction, exponents of 2^-24 (subnormal) to 2^4.
      const auto half = static_cast<uint16_t>((random_bits() & 0x83ff) | random_bits() % 20 << 10);
      std::memcpy(&blocks[block + offset], &half, sizeof(half));
    }
  }
  return blocks;
}

void PrintHex(const void* from, size_t size) {
  const auto* const bytes = static_cast<const uint8_t*>(from);
  for (size_t i = 0; i < size; ++i) std::printf("%02x", bytes[i]);
}

void Print(ggml_type type, const char* kind, const std::vector<uint8_t>& blocks) {
  std::vector<float> values(kValues);
  if (type == GGML_TYPE_F32) {
    std::memcpy(values.data(), blocks.data(), blocks.size());
  } else {
    ggml_get_type_traits(type)->to_float(blocks.data(), values.data(), kValues);
  }
  // ggml calls it bf16; all other names are ours in lower case.
  std::printf("%s %s ", ggml_type_name(type), kind);
  PrintHex(blocks.data(), blocks.size());
  std::printf(" ");
  PrintHex(values.data(), values.size() * sizeof(float));
  std::printf("\n");
}

}  // namespace

int main() {
  for (const Type& type : kTypes) {
    Print(type.type, "quantised", Quantised(type.type));
    // Random bytes of float types may be signalling NaNs, which conversions change.
    if (!type.factor_offsets.empty()) Print(type.type, "random", RandomBlocks(type));
  }
}
