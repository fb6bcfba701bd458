#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"

namespace spillway {

// Zeroed memory for weights, KV and activations, aligned to 64 bytes and more. Large ones ask for
// huge pages: streaming 100 MB of weights per token through 4 KiB pages costs a TLB miss a page.
// Pages that nobody writes take no memory.
//
// Move-only; freed in the destructor.
class HostBuffer {
 public:
  HostBuffer() = default;
  // RESOURCE_EXHAUSTED: the machine has no such address space or memory, and how much was asked.
  static absl::StatusOr<HostBuffer> Allocate(int64_t bytes);
  ~HostBuffer();

  HostBuffer(HostBuffer&& other) noexcept { *this = std::move(other); }
  HostBuffer& operator=(HostBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

  // The buffer as values of T from `offset` bytes on.
  template <typename T>
  T* As(int64_t offset = 0) {
    return reinterpret_cast<T*>(data_ + offset);
  }
  template <typename T>
  const T* As(int64_t offset = 0) const {
    return reinterpret_cast<const T*>(data_ + offset);
  }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;  // as asked; the mapping is rounded up to pages
};

}  // namespace spillway
