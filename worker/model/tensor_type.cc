#include "worker/model/tensor_type.h"

#include "common/check.h"

namespace spillway {
namespace {

struct Row {
  TensorType type;
  std::string_view name;
  TensorBlock block;
};

constexpr Row kRows[] = {
    {TensorType::kF32, "F32", {1, 4}},       {TensorType::kF16, "F16", {1, 2}},
    {TensorType::kQ4_0, "Q4_0", {32, 18}},   {TensorType::kQ4_1, "Q4_1", {32, 20}},
    {TensorType::kQ5_0, "Q5_0", {32, 22}},   {TensorType::kQ5_1, "Q5_1", {32, 24}},
    {TensorType::kQ8_0, "Q8_0", {32, 34}},   {TensorType::kQ4_K, "Q4_K", {256, 144}},
    {TensorType::kQ5_K, "Q5_K", {256, 176}}, {TensorType::kQ6_K, "Q6_K", {256, 210}},
    {TensorType::kBF16, "BF16", {1, 2}},
};

const Row& RowOf(TensorType type) {
  for (const Row& row : kRows) {
    if (row.type == type) return row;
  }
  CHECK(false && "a TensorType without a row");
  return kRows[0];
}

}  // namespace

std::string_view TensorTypeName(TensorType type) { return RowOf(type).name; }

TensorBlock TensorBlockOf(TensorType type) { return RowOf(type).block; }

std::optional<TensorType> TensorTypeFromNumber(uint32_t number) {
  for (const Row& row : kRows) {
    if (static_cast<uint32_t>(row.type) == number) return row.type;
  }
  return std::nullopt;
}

}  // namespace spillway
