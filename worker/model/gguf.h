#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/model_tensor.h"

namespace spillway {

// What a GGUF file may ask of us. Far above every model known, far below what hurts: the largest
// published vocabularies have 262,144 tokens, mixture-of-experts files some 50,000 tensors.
struct GgufLimits {
  static constexpr uint64_t kKeysMax = 4096;
  static constexpr uint64_t kTensorsMax = 65'536;        // of all parts together
  static constexpr uint64_t kPartsMax = 1024;            // files of one model
  static constexpr uint64_t kKeyBytesMax = 65'535;       // the format's own limit
  static constexpr uint64_t kTensorNameBytesMax = 64;    // the format's own limit
  static constexpr uint64_t kStringBytesMax = 64 << 20;  // some files embed a whole tokenizer.json
  static constexpr uint64_t kArrayElementsMax = 8 << 20;
  static constexpr uint64_t kHeaderBytesMax = 256 << 20;  // metadata and tensor table
  static constexpr uint32_t kTensorDimsMax = 4;
  static constexpr uint64_t kAlignmentMin = 8;  // the format's own limit
  static constexpr uint64_t kAlignmentMax = 64 << 10;
};

// A model in a GGUF file of version 2 or 3, or in several (NAME-00001-of-00003.gguf …), mapped
// read-only. (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)
//
// A model file is untrusted input: every size, offset, count, type and string length is checked
// before use (GgufLimits); tensors lie inside the file, aligned, and overlap neither the header nor
// each other, so that whoever copies them all copies no more than the file's size.
// Immutable after Open(); the spans and views it returns live as long as it does.
class GgufFile final : public TensorSource {
 public:
  // Of several files `path` is the first. NOT_FOUND, PERMISSION_DENIED: as the file system says.
  // INVALID_ARGUMENT: what is wrong with the file, where (byte offset), and which limit; or that it
  // isn't the first, or that the parts don't fit together. UNIMPLEMENTED: a version or tensor type
  // that we can't read, by name or number. (Big-endian files, too: no common model is shipped as
  // one.)
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);
  // The same over the bytes of one file, which outlive the result: for tests and fuzzing.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Parse(std::span<const std::byte> bytes);
  ~GgufFile() override;

  bool Has(std::string_view key) const;
  // Sorted.
  std::vector<std::string_view> KeysWithPrefix(std::string_view prefix) const;
  // NOT_FOUND names a missing key; INVALID_ARGUMENT one of another type, or a number out of range.
  // Any integer type of the file serves GetInt, f32 and f64 serve GetFloat.
  absl::StatusOr<int64_t> GetInt(std::string_view key) const;
  absl::StatusOr<double> GetFloat(std::string_view key) const;
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string_view> GetString(std::string_view key) const;
  absl::StatusOr<std::vector<std::string_view>> GetStrings(std::string_view key) const;
  absl::StatusOr<std::vector<int64_t>> GetInts(std::string_view key) const;
  absl::StatusOr<std::vector<double>> GetFloats(std::string_view key) const;
  absl::StatusOr<std::vector<bool>> GetBools(std::string_view key) const;

  // nullptr when there is none of that name.
  const ModelTensor* FindTensor(std::string_view name) const override;
  std::span<const ModelTensor> tensors() const;

  // SHA-256, in hex, over each file's metadata, tensor table and size, and 64 bytes of each tensor:
  // two models of one shape may differ in their weights only. Names a model cheaply.
  std::string HeaderHash() const override;

 private:
  class Impl;
  explicit GgufFile(std::unique_ptr<const Impl> impl);
  const std::unique_ptr<const Impl> impl_;
};

}  // namespace spillway
