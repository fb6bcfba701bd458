#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "worker/kernels/packed_matrix.h"

namespace spillway {

// ggml's tensor types, by their numbers in GGUF files (those that we can read).
enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30,
};

// How a type's elements are stored: in blocks along the contiguous dimension, whose size is a
// multiple of `elements`. (ggml/src/ggml-common.h has the layout of each block.)
struct TensorBlock {
  int32_t elements = 1;
  int32_t bytes = 0;
};

// "F32", "Q4_1", … as in ggml.
std::string_view TensorTypeName(TensorType type);
WeightFormat WeightFormatOf(TensorType type);  // there is one for each
TensorBlock TensorBlockOf(TensorType type);
inline bool IsQuantised(TensorType type) { return TensorBlockOf(type).elements > 1; }

// The type with ggml's number; nullopt for those that we can't read.
std::optional<TensorType> TensorTypeFromNumber(uint32_t number);

// For messages about those: "IQ2_XS (ggml type 17)", or "number 99" where we know no more.
std::string UnreadableTensorTypeName(uint32_t number);
// "F32, F16, …": all that we can read.
std::string ReadableTensorTypeNames();

}  // namespace spillway
