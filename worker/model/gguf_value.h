#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"

namespace spillway {

// The kinds of metadata values of a GGUF file, by their numbers there.
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

bool IsInteger(GgufValueType type);
bool IsFloat(GgufValueType type);

// A metadata value that has been checked but not decoded: it lies well-formed in `bytes`.
struct GgufValue {
  GgufValueType element_type;
  bool is_array = false;
  size_t count = 1;                  // elements
  std::span<const std::byte> bytes;  // of the elements, back to back; strings with their lengths
};

// INVALID_ARGUMENT: `key`, whose value it is, isn't what was `wanted`: "an integer".
absl::Status WrongGgufType(std::string_view key, const GgufValue& value, std::string_view wanted);

// Element `index` of a value of one of the integer types. INVALID_ARGUMENT: it is beyond 2^63 - 1.
absl::StatusOr<int64_t> GgufIntegerAt(std::string_view key, const GgufValue& value, size_t index);
// Element `index` of a value of one of the floating types.
double GgufFloatAt(const GgufValue& value, size_t index);

}  // namespace spillway
