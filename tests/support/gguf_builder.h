#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/check.h"
#include "worker/model/tensor_type.h"

namespace spillway {

// Writes GGUF v3 files in memory, byte by byte as the specification has them, and bad ones where a
// test asks for it: nothing is checked.
// Keys and tensors stand in the file in the order of the calls that add them.
class GgufBuilder {
 public:
  // What stands in the file's first lines and what tensors are aligned to.
  uint32_t magic = 0x46554747;
  uint32_t version = 3;
  uint32_t alignment = 32;
  // Added to the counts that are written.
  uint64_t tensor_count_excess = 0;
  uint64_t key_count_excess = 0;
  // Zeros after the last tensor's data.
  size_t data_excess = 0;

  GgufBuilder& Uint8(std::string_view key, uint8_t value) { return Scalar(key, 0, value); }
  GgufBuilder& Int8(std::string_view key, int8_t value) { return Scalar(key, 1, value); }
  GgufBuilder& Uint16(std::string_view key, uint16_t value) { return Scalar(key, 2, value); }
  GgufBuilder& Int16(std::string_view key, int16_t value) { return Scalar(key, 3, value); }
  GgufBuilder& Uint32(std::string_view key, uint32_t value) { return Scalar(key, 4, value); }
  GgufBuilder& Int32(std::string_view key, int32_t value) { return Scalar(key, 5, value); }
  GgufBuilder& Float32(std::string_view key, float value) { return Scalar(key, 6, value); }
  GgufBuilder& Bool(std::string_view key, bool value) { return Scalar(key, 7, value); }
  GgufBuilder& Uint64(std::string_view key, uint64_t value) { return Scalar(key, 10, value); }
  GgufBuilder& Int64(std::string_view key, int64_t value) { return Scalar(key, 11, value); }
  GgufBuilder& Float64(std::string_view key, double value) { return Scalar(key, 12, value); }
  GgufBuilder& String(std::string_view key, std::string_view value) {
    BeginKey(key, 8);
    AppendText(keys_, value);
    return *this;
  }
  GgufBuilder& Strings(std::string_view key, const std::vector<std::string>& values) {
    BeginArray(key, 8, values.size());
    for (const std::string& value : values) AppendText(keys_, value);
    return *this;
  }
  GgufBuilder& Int32s(std::string_view key, const std::vector<int32_t>& values) {
    return Array(key, 5, values);
  }
  GgufBuilder& Uint64s(std::string_view key, const std::vector<uint64_t>& values) {
    return Array(key, 10, values);
  }
  GgufBuilder& Float32s(std::string_view key, const std::vector<float>& values) {
    return Array(key, 6, values);
  }
  GgufBuilder& Float64s(std::string_view key, const std::vector<double>& values) {
    return Array(key, 12, values);
  }
  // A key of any type, its value byte for byte.
  GgufBuilder& Raw(std::string_view key, uint32_t type, std::string_view bytes) {
    BeginKey(key, type);
    keys_.append(bytes);
    return *this;
  }
  // The start of an array whose `count` elements are `bytes`.
  GgufBuilder& RawArray(std::string_view key, uint32_t element_type, uint64_t count,
                        std::string_view bytes) {
    BeginArray(key, element_type, count);
    keys_.append(bytes);
    return *this;
  }

  // A tensor after those before it. Requires as many bytes as the type and dims take.
  GgufBuilder& Tensor(std::string_view name, TensorType type, const std::vector<int64_t>& dims,
                      std::string_view data) {
    CHECK(data.size() == Bytes(type, dims));
    AlignData();
    RawTensor(name, std::vector<uint64_t>(dims.begin(), dims.end()), static_cast<uint32_t>(type),
              data_.size());
    data_.append(data);
    return *this;
  }
  // The same with zeros.
  GgufBuilder& Tensor(std::string_view name, TensorType type, const std::vector<int64_t>& dims) {
    return Tensor(name, type, dims, std::string(Bytes(type, dims), '\0'));
  }
  // An entry of the tensor table as it is, without data.
  GgufBuilder& RawTensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                         uint64_t offset) {
    AppendText(tensors_, name);
    Append(tensors_, static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) Append(tensors_, dim);
    Append(tensors_, type);
    Append(tensors_, offset);
    ++tensor_count_;
    return *this;
  }

  std::vector<std::byte> Build() const {
    std::string file;
    Append(file, magic);
    Append(file, version);
    Append(file, tensor_count_ + tensor_count_excess);
    Append(file, key_count_ + key_count_excess);
    file += keys_;
    file += tensors_;
    if (tensor_count_ > 0) file.resize((file.size() + alignment - 1) / alignment * alignment);
    file += data_;
    file.append(data_excess, '\0');
    std::vector<std::byte> bytes(file.size());
    std::memcpy(bytes.data(), file.data(), file.size());
    return bytes;
  }

 private:
  static size_t Bytes(TensorType type, const std::vector<int64_t>& dims) {
    const TensorBlock block = TensorBlockOf(type);
    size_t elements = 1;
    for (const int64_t dim : dims) elements *= static_cast<size_t>(dim);
    return elements / static_cast<size_t>(block.elements) * static_cast<size_t>(block.bytes);
  }
  template <typename T>
  static void Append(std::string& to, T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    to.append(bytes, sizeof(T));
  }
  static void AppendText(std::string& to, std::string_view text) {
    Append(to, static_cast<uint64_t>(text.size()));
    to.append(text);
  }

  void BeginKey(std::string_view key, uint32_t type) {
    AppendText(keys_, key);
    Append(keys_, type);
    ++key_count_;
  }
  void BeginArray(std::string_view key, uint32_t element_type, uint64_t count) {
    BeginKey(key, 9);
    Append(keys_, element_type);
    Append(keys_, count);
  }
  template <typename T>
  GgufBuilder& Scalar(std::string_view key, uint32_t type, T value) {
    BeginKey(key, type);
    Append(keys_, value);
    return *this;
  }
  template <typename T>
  GgufBuilder& Array(std::string_view key, uint32_t element_type, const std::vector<T>& values) {
    BeginArray(key, element_type, values.size());
    for (const T value : values) Append(keys_, value);
    return *this;
  }
  void AlignData() { data_.resize((data_.size() + alignment - 1) / alignment * alignment); }

  std::string keys_;
  std::string tensors_;
  std::string data_;
  uint64_t key_count_ = 0;
  uint64_t tensor_count_ = 0;
};

}  // namespace spillway
