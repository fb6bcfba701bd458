#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/device/device_buffer.h"
#include "worker/device/stream.h"

namespace spillway {

// Brings arrays to the device while they are made: one page-locked buffer is filled from the
// model's files while the other's copy is under way. Move-only.
class DeviceUploader {
 public:
  static constexpr int64_t kPieceBytes = int64_t{16} << 20;

  // RESOURCE_EXHAUSTED: no page-locked memory for two pieces.
  static absl::StatusOr<DeviceUploader> Create(int64_t piece_bytes = kPieceBytes);

  // Brings `rows` rows of `row_bytes` to `to`. fill(first, count, into) writes rows
  // [first, first + count). Requires that a row fits a piece. INTERNAL: the device failed.
  absl::Status Upload(std::byte* to, int64_t rows, int64_t row_bytes,
                      absl::FunctionRef<void(int64_t first, int64_t count, std::byte* into)> fill);

  // Waits until all has arrived.
  absl::Status Finish() { return stream_.Synchronize(); }

 private:
  DeviceUploader() = default;

  struct Piece {
    PinnedBuffer<std::byte> memory;
    Event copied;
  };
  Stream stream_;
  Piece pieces_[2];
  int next_ = 0;
};

}  // namespace spillway
