#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace spillway {

// Writes safetensors files in memory, and bad ones where a test asks for it: nothing is checked.
class SafetensorsBuilder {
 public:
  // Stands before the tensors in the header, e.g. `"__metadata__":{"format":"pt"}`.
  std::string metadata;
  // Stands behind the header's last brace.
  std::string padding;
  // Added to the header's length as the file tells it.
  int64_t header_length_excess = 0;

  // A tensor with `data`, behind those before it.
  SafetensorsBuilder& Tensor(std::string_view name, std::string_view dtype, std::string_view shape,
                             std::string_view data) {
    const size_t begin = data_.size();
    data_.append(data);
    return Entry(name, "{\"dtype\":\"" + std::string(dtype) + "\",\"shape\":" + std::string(shape) +
                           ",\"data_offsets\":[" + std::to_string(begin) + "," +
                           std::to_string(data_.size()) + "]}");
  }
  // The same with as many zeros as `shape` takes.
  SafetensorsBuilder& Zeros(std::string_view name, std::string_view dtype, size_t element_bytes,
                            const std::vector<int64_t>& shape) {
    std::string text = "[";
    size_t bytes = element_bytes;
    for (const int64_t dim : shape) {
      text += (text.size() > 1 ? "," : "") + std::to_string(dim);
      bytes *= static_cast<size_t>(dim);
    }
    return Tensor(name, dtype, text + "]", std::string(bytes, '\0'));
  }
  // A key of the header with any JSON as its value.
  SafetensorsBuilder& Entry(std::string_view name, std::string_view json) {
    if (!entries_.empty()) entries_ += ",";
    entries_ += "\"" + std::string(name) + "\":" + std::string(json);
    return *this;
  }
  SafetensorsBuilder& Data(std::string_view bytes) {
    data_.append(bytes);
    return *this;
  }

  std::vector<std::byte> Build() const {
    const std::string comma = metadata.empty() || entries_.empty() ? "" : ",";
    return FileOf("{" + metadata + comma + entries_ + "}" + padding, data_, header_length_excess);
  }
  // A file of any header.
  static std::vector<std::byte> FileOf(std::string_view header, std::string_view data,
                                       int64_t header_length_excess = 0) {
    const uint64_t length = header.size() + static_cast<uint64_t>(header_length_excess);
    std::vector<std::byte> bytes(sizeof(length) + header.size() + data.size());
    std::memcpy(bytes.data(), &length, sizeof(length));
    std::memcpy(bytes.data() + sizeof(length), header.data(), header.size());
    if (!data.empty()) {
      std::memcpy(bytes.data() + sizeof(length) + header.size(), data.data(), data.size());
    }
    return bytes;
  }

 private:
  std::string entries_;
  std::string data_;
};

}  // namespace spillway
