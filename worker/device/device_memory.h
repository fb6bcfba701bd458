#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/device/stream.h"

namespace spillway {

// Bytes on this thread's device, or page-locked bytes on the host that the device reaches by DMA:
// what DeviceBuffer<T> and PinnedBuffer<T> are made of (device_buffer.h). Contents are undefined at
// first. Move-only; freed in the destructor, which waits for device memory's last use.
class DeviceMemory {
 public:
  enum class Place { kDevice, kPinnedHost };

  DeviceMemory() = default;
  // RESOURCE_EXHAUSTED: no such memory, how much was asked and how much is free.
  static absl::StatusOr<DeviceMemory> Allocate(Place place, int64_t bytes);
  ~DeviceMemory();

  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(place_, other.place_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  Place place_ = Place::kDevice;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Queues a copy between any two places; the direction follows from the addresses. From or to host
// memory that isn't pinned it may block until the copy is staged.
absl::Status CopyAsync(const Stream& stream, void* to, const void* from, int64_t bytes);

// Queues setting `bytes` bytes of device memory to `value`.
absl::Status FillAsync(const Stream& stream, void* to, uint8_t value, int64_t bytes);

}  // namespace spillway
