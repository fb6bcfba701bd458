#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/gguf.h"
#include "worker/model/gguf_value.h"

namespace spillway {

// Everything in a GGUF file before the tensor data, checked, and where each tensor's data is.
struct GgufHeader {
  std::map<std::string_view, GgufValue, std::less<>> values;
  std::vector<ModelTensor> tensors;
  size_t header_bytes = 0;  // magic up to the end of the tensor table, without padding
};

// Errors as GgufFile::Parse(). The result points into `bytes`.
absl::StatusOr<GgufHeader> ReadGgufHeader(std::span<const std::byte> bytes);

}  // namespace spillway
