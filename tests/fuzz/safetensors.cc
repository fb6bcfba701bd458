// Any bytes as a safetensors file: it is refused, or all that it holds can be read.
#include "worker/model/safetensors.h"

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = spillway::SafetensorsFile::Parse(std::as_bytes(std::span(data, size)));
  if (!file.ok()) {
    CHECK(!file.status().message().empty());
    return 0;
  }
  size_t bytes = 0;
  size_t data_bytes = 0;
  for (const spillway::SafetensorsTensor& tensor : (*file)->tensors()) {
    CHECK((*file)->FindTensor(tensor.name) == &tensor);
    data_bytes += tensor.data.size();
    if (tensor.data.empty()) continue;
    bytes += static_cast<size_t>(tensor.data.front()) + static_cast<size_t>(tensor.data.back());
  }
  CHECK(data_bytes + (*file)->header().size() + 8 == size);
  // The compiler may not leave the reads out.
  volatile size_t sink = bytes;
  (void)sink;
  return 0;
}
