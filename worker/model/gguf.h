#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

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
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

std::string_view TensorTypeName(TensorType type);

struct GgufTensor {
  std::string name;
  TensorType type;
  std::vector<int64_t> dims;        // as in the file: dims[0] is the contiguous one
  std::span<const std::byte> data;  // into the file's mapping; exactly the type's size for `dims`
};

// A GGUF v3 file, mapped read-only. (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)
//
// A model file is untrusted input: every size, offset, count, type and string length is checked
// before use, tensors lie inside the file, aligned, and don't overlap the header.
// Immutable after Open(); the spans and views it returns live as long as it does.
class GgufFile {
 public:
  // NOT_FOUND, PERMISSION_DENIED: as the file system says. INVALID_ARGUMENT: what is wrong with the
  // file, where (byte offset), and which limit. UNIMPLEMENTED: a version or tensor type that we
  // can't read, by name or number.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);
  // The same over bytes in memory, which outlive the result: for tests and fuzzing.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Parse(std::span<const std::byte> bytes);
  ~GgufFile();

  bool Has(std::string_view key) const;
  // NOT_FOUND names a missing key; INVALID_ARGUMENT one of another type, or a number out of range.
  // Any integer type of the file serves GetInt, f32 and f64 serve GetFloat.
  absl::StatusOr<int64_t> GetInt(std::string_view key) const;
  absl::StatusOr<double> GetFloat(std::string_view key) const;
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string_view> GetString(std::string_view key) const;
  absl::StatusOr<std::vector<std::string_view>> GetStrings(std::string_view key) const;
  absl::StatusOr<std::vector<int64_t>> GetInts(std::string_view key) const;
  absl::StatusOr<std::vector<double>> GetFloats(std::string_view key) const;

  // nullptr when there is none of that name.
  const GgufTensor* FindTensor(std::string_view name) const;
  std::span<const GgufTensor> tensors() const;

  // SHA-256 over everything before the tensor data (metadata and tensor table) and the file's
  // size, hex: names a model cheaply.
  std::string HeaderHash() const;

 private:
  class Impl;
  explicit GgufFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
