#include "worker/model/tensor_type.h"

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {
namespace {

struct Row {
  TensorType type;
  WeightFormat format;
};

constexpr Row kRows[] = {
    {TensorType::kF32, WeightFormat::kF32},       {TensorType::kF16, WeightFormat::kF16},
    {TensorType::kBF16, WeightFormat::kBf16},     {TensorType::kQ4_0, WeightFormat::kQ4_0},
    {TensorType::kQ4_1, WeightFormat::kQ4_1},     {TensorType::kQ5_0, WeightFormat::kQ5_0},
    {TensorType::kQ5_1, WeightFormat::kQ5_1},     {TensorType::kQ8_0, WeightFormat::kQ8_0},
    {TensorType::kQ2_K, WeightFormat::kQ2_K},     {TensorType::kQ3_K, WeightFormat::kQ3_K},
    {TensorType::kQ4_K, WeightFormat::kQ4_K},     {TensorType::kQ5_K, WeightFormat::kQ5_K},
    {TensorType::kQ6_K, WeightFormat::kQ6_K},     {TensorType::kIQ4_NL, WeightFormat::kIQ4_NL},
    {TensorType::kIQ4_XS, WeightFormat::kIQ4_XS},
};

struct UnreadableRow {
  uint32_t number;
  std::string_view name;
};

// ggml_type of ggml.h.
constexpr UnreadableRow kUnreadableRows[] = {
    {9, "Q8_1"},      {15, "Q8_K"},     {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"},    {21, "IQ3_S"},    {22, "IQ2_S"},   {24, "I8"},     {25, "I16"},
    {26, "I32"},      {27, "I64"},      {28, "F64"},     {29, "IQ1_M"},  {31, "Q4_0_4_4"},
    {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"}, {34, "TQ1_0"},   {35, "TQ2_0"},  {39, "MXFP4"},
    {40, "NVFP4"},    {41, "Q1_0"},     {42, "Q2_0"},
};

}  // namespace

WeightFormat WeightFormatOf(TensorType type) {
  for (const Row& row : kRows) {
    if (row.type == type) return row.format;
  }
  CHECK(false && "a TensorType without a row");
}

std::string_view TensorTypeName(TensorType type) { return InfoOf(WeightFormatOf(type)).name; }

TensorBlock TensorBlockOf(TensorType type) {
  const WeightFormatInfo& info = InfoOf(WeightFormatOf(type));
  return {.elements = info.source_values, .bytes = info.source_bytes};
}

std::optional<TensorType> TensorTypeFromNumber(uint32_t number) {
  for (const Row& row : kRows) {
    if (static_cast<uint32_t>(row.type) == number) return row.type;
  }
  return std::nullopt;
}

std::string UnreadableTensorTypeName(uint32_t number) {
  for (const UnreadableRow& row : kUnreadableRows) {
    if (row.number == number) {
      return absl::StrCat(std::string(row.name), " (ggml type ", number, ")");
    }
  }
  return absl::StrCat("number ", number);
}

std::string ReadableTensorTypeNames() {
  std::string names;
  for (const Row& row : kRows) {
    if (!names.empty()) names += ", ";
    names += TensorTypeName(row.type);
  }
  return names;
}

}  // namespace spillway
