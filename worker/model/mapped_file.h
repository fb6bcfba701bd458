#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace spillway {

// A file's bytes, mapped read-only for as long as this lives.
//
// The mapping shows the file as it is on disk: whoever shortens it meanwhile kills this process
// (SIGBUS). Replace model files by renaming, never in place.
// Immutable: any thread may read.
class MappedFile {
 public:
  // As the file system says (NOT_FOUND, PERMISSION_DENIED, …). INVALID_ARGUMENT: not a regular
  // file.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  const std::span<const std::byte> bytes_;
};

}  // namespace spillway
