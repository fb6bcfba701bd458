#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/device/device_memory.h"

namespace spillway {

// An array of `size()` values of T on the device, aligned to 256 bytes. data() is a device address:
// only kernels and copies may follow it. Move-only.
template <typename T>
class DeviceBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  DeviceBuffer() = default;
  // RESOURCE_EXHAUSTED as DeviceMemory::Allocate().
  static absl::StatusOr<DeviceBuffer> Allocate(int64_t size) {
    DeviceBuffer buffer;
    ASSIGN_OR_RETURN(buffer.memory_,
                     DeviceMemory::Allocate(DeviceMemory::Place::kDevice,
                                            size * static_cast<int64_t>(sizeof(T))));
    buffer.size_ = size;
    return buffer;
  }

  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    return *this;
  }

  T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  int64_t size() const { return size_; }
  int64_t bytes() const { return memory_.bytes(); }

  // Queues a copy of host values to the front of the buffer, or of its front to the host. The
  // host's memory must stay until the stream has passed the copy. Requires that they fit.
  absl::Status CopyFrom(const Stream& stream, std::span<const T> values) const {
    CHECK(static_cast<int64_t>(values.size()) <= size_);
    return CopyAsync(stream, data(), values.data(), static_cast<int64_t>(values.size_bytes()));
  }
  absl::Status CopyTo(const Stream& stream, std::span<T> values) const {
    CHECK(static_cast<int64_t>(values.size()) <= size_);
    return CopyAsync(stream, values.data(), data(), static_cast<int64_t>(values.size_bytes()));
  }

 private:
  DeviceMemory memory_;
  int64_t size_ = 0;
};

// An array of page-locked host memory, for copies that run beside kernels. Move-only.
template <typename T>
class PinnedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PinnedBuffer() = default;
  // RESOURCE_EXHAUSTED as DeviceMemory::Allocate().
  static absl::StatusOr<PinnedBuffer> Allocate(int64_t size) {
    PinnedBuffer buffer;
    ASSIGN_OR_RETURN(buffer.memory_,
                     DeviceMemory::Allocate(DeviceMemory::Place::kPinnedHost,
                                            size * static_cast<int64_t>(sizeof(T))));
    buffer.size_ = size;
    return buffer;
  }

  PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    return *this;
  }

  std::span<T> span() const {
    return {reinterpret_cast<T*>(memory_.data()), static_cast<size_t>(size_)};
  }
  T* data() const { return span().data(); }
  int64_t size() const { return size_; }

 private:
  DeviceMemory memory_;
  int64_t size_ = 0;
};

}  // namespace spillway
