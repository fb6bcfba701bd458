#include "worker/device/host_buffer.h"

#include <sys/mman.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {
namespace {

constexpr int64_t kHugePageBytes = int64_t{2} << 20;

}  // namespace

absl::StatusOr<HostBuffer> HostBuffer::Allocate(int64_t bytes) {
  CHECK(bytes >= 0);
  HostBuffer buffer;
  if (bytes == 0) return buffer;
  // Linux aligns large anonymous mappings to huge pages by itself since 6.7; before, the first and
  // last part of one are small pages, which costs nothing that can be measured.
  void* const data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes"));
  }
  if (bytes >= kHugePageBytes) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  buffer.data_ = static_cast<std::byte*>(data);
  buffer.bytes_ = bytes;
  return buffer;
}

HostBuffer::~HostBuffer() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace spillway
