#include "worker/model/gguf.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/model/gguf_reader.h"
#include "worker/model/mapped_file.h"
#include "worker/model/sha256.h"

namespace spillway {
namespace {

std::string Description(const GgufValue& value) {
  return absl::StrCat(value.is_array ? "an array of " : "a ",
                      std::string(GgufValueTypeName(value.element_type)));
}

absl::Status WrongType(std::string_view key, const GgufValue& value, const char* wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("GGUF: ", std::string(key), " is ", Description(value), ", not ", wanted));
}

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

bool IsInteger(GgufValueType type) {
  switch (type) {
    case GgufValueType::kUint8:
    case GgufValueType::kInt8:
    case GgufValueType::kUint16:
    case GgufValueType::kInt16:
    case GgufValueType::kUint32:
    case GgufValueType::kInt32:
    case GgufValueType::kUint64:
    case GgufValueType::kInt64:
      return true;
    default:
      return false;
  }
}

bool IsFloat(GgufValueType type) {
  return type == GgufValueType::kFloat32 || type == GgufValueType::kFloat64;
}

absl::StatusOr<int64_t> IntegerAt(std::string_view key, const GgufValue& value, size_t index) {
  const std::byte* from = value.bytes.data() + index * GgufScalarBytes(value.element_type);
  switch (value.element_type) {
    case GgufValueType::kUint8:
      return Load<uint8_t>(from);
    case GgufValueType::kInt8:
      return Load<int8_t>(from);
    case GgufValueType::kUint16:
      return Load<uint16_t>(from);
    case GgufValueType::kInt16:
      return Load<int16_t>(from);
    case GgufValueType::kUint32:
      return Load<uint32_t>(from);
    case GgufValueType::kInt32:
      return Load<int32_t>(from);
    case GgufValueType::kInt64:
      return Load<int64_t>(from);
    case GgufValueType::kUint64: {
      const uint64_t number = Load<uint64_t>(from);
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return absl::InvalidArgumentError(absl::StrCat("GGUF: ", std::string(key), " is ", number,
                                                       ", beyond the limit of 2^63 - 1"));
      }
      return static_cast<int64_t>(number);
    }
    default:
      CHECK(false && "the caller checks IsInteger()");
  }
  return 0;
}

double FloatAt(const GgufValue& value, size_t index) {
  const std::byte* from = value.bytes.data() + index * GgufScalarBytes(value.element_type);
  if (value.element_type == GgufValueType::kFloat32) return Load<float>(from);
  return Load<double>(from);
}

}  // namespace

class GgufFile::Impl {
 public:
  Impl(std::unique_ptr<MappedFile> file, std::span<const std::byte> bytes, GgufHeader header)
      : file_(std::move(file)), bytes_(bytes), header_(std::move(header)) {
    for (const ModelTensor& tensor : header_.tensors) by_name_.emplace(tensor.name, &tensor);
  }

  absl::StatusOr<const GgufValue*> Find(std::string_view key) const {
    const auto found = header_.values.find(key);
    if (found == header_.values.end()) {
      return absl::NotFoundError(absl::StrCat("GGUF: the file has no ", std::string(key)));
    }
    return &found->second;
  }

  const std::unique_ptr<MappedFile> file_;  // null when the bytes are the caller's
  const std::span<const std::byte> bytes_;
  const GgufHeader header_;
  std::map<std::string_view, const ModelTensor*, std::less<>> by_name_;
};

GgufFile::GgufFile(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
GgufFile::~GgufFile() = default;

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = file->bytes();
  absl::StatusOr<GgufHeader> header = ReadGgufHeader(bytes);
  if (!header.ok()) {
    return absl::Status(header.status().code(),
                        absl::StrCat(path, ": ", header.status().message()));
  }
  return std::unique_ptr<GgufFile>(
      new GgufFile(std::make_unique<const Impl>(std::move(file), bytes, *std::move(header))));
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Parse(std::span<const std::byte> bytes) {
  ASSIGN_OR_RETURN(GgufHeader header, ReadGgufHeader(bytes));
  return std::unique_ptr<GgufFile>(
      new GgufFile(std::make_unique<const Impl>(nullptr, bytes, std::move(header))));
}

bool GgufFile::Has(std::string_view key) const { return impl_->header_.values.contains(key); }

std::vector<std::string_view> GgufFile::KeysWithPrefix(std::string_view prefix) const {
  std::vector<std::string_view> keys;
  const auto& values = impl_->header_.values;
  for (auto at = values.lower_bound(prefix); at != values.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    keys.push_back(at->first);
  }
  return keys;
}

absl::StatusOr<int64_t> GgufFile::GetInt(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (value->is_array || !IsInteger(value->element_type)) {
    return WrongType(key, *value, "an integer");
  }
  return IntegerAt(key, *value, 0);
}

absl::StatusOr<double> GgufFile::GetFloat(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (value->is_array || !IsFloat(value->element_type)) return WrongType(key, *value, "a float");
  return FloatAt(*value, 0);
}

absl::StatusOr<bool> GgufFile::GetBool(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (value->is_array || value->element_type != GgufValueType::kBool) {
    return WrongType(key, *value, "a bool");
  }
  return value->bytes[0] != std::byte{0};
}

absl::StatusOr<std::string_view> GgufFile::GetString(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (value->is_array || value->element_type != GgufValueType::kString) {
    return WrongType(key, *value, "a string");
  }
  const std::span<const std::byte> text = value->bytes.subspan(sizeof(uint64_t));
  return std::string_view(reinterpret_cast<const char*>(text.data()), text.size());
}

absl::StatusOr<std::vector<std::string_view>> GgufFile::GetStrings(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (!value->is_array || value->element_type != GgufValueType::kString) {
    return WrongType(key, *value, "an array of strings");
  }
  std::vector<std::string_view> texts;
  texts.reserve(value->count);
  const std::byte* at = value->bytes.data();
  for (size_t i = 0; i < value->count; ++i) {
    const auto length = static_cast<size_t>(Load<uint64_t>(at));
    at += sizeof(uint64_t);
    texts.emplace_back(reinterpret_cast<const char*>(at), length);
    at += length;
  }
  return texts;
}

absl::StatusOr<std::vector<int64_t>> GgufFile::GetInts(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (!value->is_array || !IsInteger(value->element_type)) {
    return WrongType(key, *value, "an array of integers");
  }
  std::vector<int64_t> numbers;
  numbers.reserve(value->count);
  for (size_t i = 0; i < value->count; ++i) {
    ASSIGN_OR_RETURN(const int64_t number, IntegerAt(key, *value, i));
    numbers.push_back(number);
  }
  return numbers;
}

absl::StatusOr<std::vector<double>> GgufFile::GetFloats(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (!value->is_array || !IsFloat(value->element_type)) {
    return WrongType(key, *value, "an array of floats");
  }
  std::vector<double> numbers;
  numbers.reserve(value->count);
  for (size_t i = 0; i < value->count; ++i) numbers.push_back(FloatAt(*value, i));
  return numbers;
}

const ModelTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = impl_->by_name_.find(name);
  return found == impl_->by_name_.end() ? nullptr : found->second;
}

std::span<const ModelTensor> GgufFile::tensors() const { return impl_->header_.tensors; }

std::string GgufFile::HeaderHash() const {
  Sha256 hash;
  hash.Add(impl_->bytes_.first(impl_->header_.header_bytes));
  hash.AddNumber(impl_->bytes_.size());
  return hash.HexDigest();
}

}  // namespace spillway
