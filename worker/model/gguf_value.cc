#include "worker/model/gguf_value.h"

#include <cstring>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

struct Row {
  GgufValueType type;
  std::string_view name;
  size_t scalar_bytes;
};

constexpr Row kRows[] = {
    {GgufValueType::kUint8, "uint8", 1},     {GgufValueType::kInt8, "int8", 1},
    {GgufValueType::kUint16, "uint16", 2},   {GgufValueType::kInt16, "int16", 2},
    {GgufValueType::kUint32, "uint32", 4},   {GgufValueType::kInt32, "int32", 4},
    {GgufValueType::kFloat32, "float32", 4}, {GgufValueType::kBool, "bool", 1},
    {GgufValueType::kString, "string", 0},   {GgufValueType::kArray, "array", 0},
    {GgufValueType::kUint64, "uint64", 8},   {GgufValueType::kInt64, "int64", 8},
    {GgufValueType::kFloat64, "float64", 8},
};

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

}  // namespace

std::string_view GgufValueTypeName(GgufValueType type) {
  for (const Row& row : kRows) {
    if (row.type == type) return row.name;
  }
  return "unknown";
}

size_t GgufScalarBytes(GgufValueType type) {
  for (const Row& row : kRows) {
    if (row.type == type) return row.scalar_bytes;
  }
  return 0;
}

bool IsInteger(GgufValueType type) {
  switch (type) {
    case GgufValueType::kUint8:
    case GgufValueType::kInt8:
    case GgufValueType::kUint16:
    case GgufValueType::kInt16:
    case GgufValueType::kUint32:
    case GgufValueType::kInt32:
    case GgufValueType::kUint64:
    case GgufValueType::kInt64:
      return true;
    default:
      return false;
  }
}

bool IsFloat(GgufValueType type) {
  return type == GgufValueType::kFloat32 || type == GgufValueType::kFloat64;
}

absl::Status WrongGgufType(std::string_view key, const GgufValue& value, std::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat(
      "GGUF: ", PrintableName(key), value.is_array ? " is an array of " : " is a ",
      std::string(GgufValueTypeName(value.element_type)), ", not ", std::string(wanted)));
}

absl::StatusOr<int64_t> GgufIntegerAt(std::string_view key, const GgufValue& value, size_t index) {
  const std::byte* from = value.bytes.data() + index * GgufScalarBytes(value.element_type);
  switch (value.element_type) {
    case GgufValueType::kUint8:
      return Load<uint8_t>(from);
    case GgufValueType::kInt8:
      return Load<int8_t>(from);
    case GgufValueType::kUint16:
      return Load<uint16_t>(from);
    case GgufValueType::kInt16:
      return Load<int16_t>(from);
    case GgufValueType::kUint32:
      return Load<uint32_t>(from);
    case GgufValueType::kInt32:
      return Load<int32_t>(from);
    case GgufValueType::kInt64:
      return Load<int64_t>(from);
    case GgufValueType::kUint64: {
      const uint64_t number = Load<uint64_t>(from);
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return absl::InvalidArgumentError(absl::StrCat("GGUF: ", PrintableName(key), " is ", number,
                                                       ", beyond the limit of 2^63 - 1"));
      }
      return static_cast<int64_t>(number);
    }
    default:
      CHECK(false && "the caller checks IsInteger()");
  }
  return 0;
}

double GgufFloatAt(const GgufValue& value, size_t index) {
  const std::byte* from = value.bytes.data() + index * GgufScalarBytes(value.element_type);
  if (value.element_type == GgufValueType::kFloat32) return Load<float>(from);
  return Load<double>(from);
}

}  // namespace spillway
