#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace spillway {

// What a safetensors file may ask of us: far above every model known, far below what hurts.
struct SafetensorsLimits {
  static constexpr uint64_t kHeaderBytesMax = 100'000'000;  // the reference's own limit
  static constexpr size_t kTensorsMax = 65'536;             // of one file
  static constexpr size_t kNameBytesMax = 512;              // of a tensor, a key, a dtype
  static constexpr size_t kDimsMax = 8;
};

// A tensor as the header has it; only its form is checked.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  uint64_t begin = 0;  // in the tensor data
  uint64_t end = 0;
};

// Reads the JSON of a safetensors header: an object of tensors, each with exactly dtype, shape and
// data_offsets, and of __metadata__, texts by texts. Nothing may be there twice or besides.
// No document is built: memory goes with the tensors, not with what else a hostile header holds.
//
// INVALID_ARGUMENT says what is wrong, and which tensor or limit.
absl::StatusOr<std::vector<SafetensorsEntry>> ReadSafetensorsHeader(std::string_view json);

}  // namespace spillway
