#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/safetensors_header.h"
#include "worker/model/tensor_type.h"

namespace spillway {

class MappedFile;

struct SafetensorsTensor {
  std::string name;
  std::string dtype;               // as the file calls it: "BF16", "F8_E4M3", "I64"
  std::optional<TensorType> type;  // of the dtypes that we can read: BF16, F16, F32
  std::vector<int64_t> shape;      // shape.back() is the contiguous one; none of it: a scalar
  // Exactly the dtype's size for `shape`; may be empty. No more aligned than the file's data is.
  std::span<const std::byte> data;
};

// A safetensors file, mapped read-only. (https://github.com/huggingface/safetensors: format.md)
//
// A model file is untrusted input: header length, JSON, dtypes, shapes and offsets are checked
// before use (SafetensorsLimits); the tensors fill the rest of the file without hole or overlap, as
// the format demands, so that whoever copies them all copies no more than the file's size.
// Immutable after Open(); the spans and views it returns live as long as it does.
class SafetensorsFile {
 public:
  // NOT_FOUND, PERMISSION_DENIED: as the file system says. INVALID_ARGUMENT: what is wrong with the
  // file, and which tensor or limit. UNIMPLEMENTED: a dtype whose size we don't know; those that
  // are known but can't be read as weights (8-bit floats, integers) have no `type`.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  // The same over bytes in memory, which outlive the result: for tests and fuzzing.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Parse(std::span<const std::byte> bytes);
  ~SafetensorsFile();

  // nullptr when there is none of that name.
  const SafetensorsTensor* FindTensor(std::string_view name) const;
  // Sorted by name.
  std::span<const SafetensorsTensor> tensors() const { return tensors_; }

  // The header's JSON, as it stands in the file.
  std::span<const std::byte> header() const { return header_; }

 private:
  SafetensorsFile();

  std::unique_ptr<const MappedFile> file_;  // null when parsed from memory
  std::span<const std::byte> header_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace spillway
