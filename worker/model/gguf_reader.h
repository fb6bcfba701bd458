#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/gguf.h"

namespace spillway {

// The kinds of metadata values, by their numbers in the file.
enum class GgufValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// "uint8", "string", …
std::string_view GgufValueTypeName(GgufValueType type);

// Bytes of a scalar of this type in the file; 0 for strings and arrays.
size_t GgufScalarBytes(GgufValueType type);

// A metadata value that has been checked but not decoded: it lies well-formed in `bytes`.
struct GgufValue {
  GgufValueType element_type;
  bool is_array = false;
  size_t count = 1;                  // elements
  std::span<const std::byte> bytes;  // of the elements, back to back; strings with their lengths
};

// Everything in a GGUF file before the tensor data, checked, and where each tensor's data is.
struct GgufHeader {
  std::map<std::string_view, GgufValue, std::less<>> values;
  std::vector<ModelTensor> tensors;
  size_t header_bytes = 0;  // magic up to the end of the tensor table, without padding
};

// Errors as GgufFile::Parse(). The result points into `bytes`.
absl::StatusOr<GgufHeader> ReadGgufHeader(std::span<const std::byte> bytes);

}  // namespace spillway
