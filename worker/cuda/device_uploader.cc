#include "worker/cuda/device_uploader.h"

#include <algorithm>

#include "common/check.h"
#include "common/status_macros.h"

namespace spillway {

absl::StatusOr<DeviceUploader> DeviceUploader::Create(int64_t piece_bytes) {
  DeviceUploader uploader;
  ASSIGN_OR_RETURN(uploader.stream_, Stream::Create());
  for (Piece& piece : uploader.pieces_) {
    ASSIGN_OR_RETURN(piece.memory, PinnedBuffer<std::byte>::Allocate(piece_bytes));
    ASSIGN_OR_RETURN(piece.copied, Event::Create());
    RETURN_IF_ERROR(piece.copied.Record(uploader.stream_));
  }
  return uploader;
}

absl::Status DeviceUploader::Upload(
    std::byte* to, int64_t rows, int64_t row_bytes,
    absl::FunctionRef<void(int64_t first, int64_t count, std::byte* into)> fill) {
  if (rows == 0 || row_bytes == 0) return absl::OkStatus();
  const int64_t rows_at_once = pieces_[0].memory.size() / row_bytes;
  CHECK(rows_at_once > 0);
  for (int64_t first = 0; first < rows; first += rows_at_once) {
    Piece& piece = pieces_[next_];
    next_ = 1 - next_;
    RETURN_IF_ERROR(piece.copied.Synchronize());
    const int64_t count = std::min(rows_at_once, rows - first);
    fill(first, count, piece.memory.data());
    RETURN_IF_ERROR(
        CopyAsync(stream_, to + first * row_bytes, piece.memory.data(), count * row_bytes));
    RETURN_IF_ERROR(piece.copied.Record(stream_));
  }
  return absl::OkStatus();
}

}  // namespace spillway
