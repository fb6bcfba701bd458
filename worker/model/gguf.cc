#include "worker/model/gguf.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/gguf_parts.h"
#include "worker/model/gguf_reader.h"
#include "worker/model/sha256.h"

namespace spillway {
namespace {

// Of each tensor's data, for HeaderHash().
constexpr size_t kSampleBytes = 64;

}  // namespace

class GgufFile::Impl {
 public:
  // `parts` fit together (worker/model/gguf_parts.h); at least one.
  explicit Impl(std::vector<GgufPart> parts) : parts_(std::move(parts)) {
    for (const GgufPart& part : parts_) {
      tensors_.insert(tensors_.end(), part.header.tensors.begin(), part.header.tensors.end());
    }
    for (const ModelTensor& tensor : tensors_) by_name_.emplace(tensor.name, &tensor);
  }

  const std::map<std::string_view, GgufValue, std::less<>>& values() const {
    return parts_[0].header.values;
  }

  absl::StatusOr<const GgufValue*> Find(std::string_view key) const {
    const auto found = values().find(key);
    if (found == values().end()) {
      return absl::NotFoundError(absl::StrCat("GGUF: the file has no ", std::string(key)));
    }
    return &found->second;
  }

  const std::vector<GgufPart> parts_;
  std::vector<ModelTensor> tensors_;
  std::map<std::string_view, const ModelTensor*, std::less<>> by_name_;
};

GgufFile::GgufFile(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
GgufFile::~GgufFile() = default;

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::vector<GgufPart> parts, OpenGgufParts(path));
  return std::unique_ptr<GgufFile>(new GgufFile(std::make_unique<const Impl>(std::move(parts))));
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Parse(std::span<const std::byte> bytes) {
  ASSIGN_OR_RETURN(GgufHeader header, ReadGgufHeader(bytes));
  std::vector<GgufPart> parts;
  parts.push_back({.file = nullptr, .bytes = bytes, .header = std::move(header)});
  return std::unique_ptr<GgufFile>(new GgufFile(std::make_unique<const Impl>(std::move(parts))));
}

bool GgufFile::Has(std::string_view key) const { return impl_->values().contains(key); }

std::vector<std::string_view> GgufFile::KeysWithPrefix(std::string_view prefix) const {
  std::vector<std::string_view> keys;
  const auto& values = impl_->values();
  for (auto at = values.lower_bound(prefix); at != values.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    keys.push_back(at->first);
  }
  return keys;
}

absl::StatusOr<int64_t> GgufFile::GetInt(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (value->is_array || !IsInteger(value->element_type)) {
    return WrongGgufType(key, *value, "an integer");
  }
  return GgufIntegerAt(key, *value, 0);
}

absl::StatusOr<double> GgufFile::GetFloat(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (value->is_array || !IsFloat(value->element_type))
    return WrongGgufType(key, *value, "a float");
  return GgufFloatAt(*value, 0);
}

absl::StatusOr<bool> GgufFile::GetBool(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (value->is_array || value->element_type != GgufValueType::kBool) {
    return WrongGgufType(key, *value, "a bool");
  }
  return value->bytes[0] != std::byte{0};
}

absl::StatusOr<std::string_view> GgufFile::GetString(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (value->is_array || value->element_type != GgufValueType::kString) {
    return WrongGgufType(key, *value, "a string");
  }
  const std::span<const std::byte> text = value->bytes.subspan(sizeof(uint64_t));
  return std::string_view(reinterpret_cast<const char*>(text.data()), text.size());
}

absl::StatusOr<std::vector<std::string_view>> GgufFile::GetStrings(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (!value->is_array || value->element_type != GgufValueType::kString) {
    return WrongGgufType(key, *value, "an array of strings");
  }
  std::vector<std::string_view> texts;
  texts.reserve(value->count);
  const std::byte* at = value->bytes.data();
  for (size_t i = 0; i < value->count; ++i) {
    uint64_t length;
    std::memcpy(&length, at, sizeof(length));
    at += sizeof(length);
    texts.emplace_back(reinterpret_cast<const char*>(at), length);
    at += length;
  }
  return texts;
}

absl::StatusOr<std::vector<int64_t>> GgufFile::GetInts(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (!value->is_array || !IsInteger(value->element_type)) {
    return WrongGgufType(key, *value, "an array of integers");
  }
  std::vector<int64_t> numbers;
  numbers.reserve(value->count);
  for (size_t i = 0; i < value->count; ++i) {
    ASSIGN_OR_RETURN(const int64_t number, GgufIntegerAt(key, *value, i));
    numbers.push_back(number);
  }
  return numbers;
}

absl::StatusOr<std::vector<double>> GgufFile::GetFloats(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (!value->is_array || !IsFloat(value->element_type)) {
    return WrongGgufType(key, *value, "an array of floats");
  }
  std::vector<double> numbers;
  numbers.reserve(value->count);
  for (size_t i = 0; i < value->count; ++i) numbers.push_back(GgufFloatAt(*value, i));
  return numbers;
}

absl::StatusOr<std::vector<bool>> GgufFile::GetBools(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, impl_->Find(key));
  if (!value->is_array || value->element_type != GgufValueType::kBool) {
    return WrongGgufType(key, *value, "an array of bools");
  }
  std::vector<bool> flags;
  flags.reserve(value->count);
  for (size_t i = 0; i < value->count; ++i) flags.push_back(value->bytes[i] != std::byte{0});
  return flags;
}

const ModelTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = impl_->by_name_.find(name);
  return found == impl_->by_name_.end() ? nullptr : found->second;
}

std::span<const ModelTensor> GgufFile::tensors() const { return impl_->tensors_; }

std::string GgufFile::HeaderHash() const {
  Sha256 hash;
  for (const GgufPart& part : impl_->parts_) {
    hash.Add(part.bytes.first(part.header.header_bytes));
    hash.AddNumber(part.bytes.size());
    for (const ModelTensor& tensor : part.header.tensors) {
      const size_t count = std::min(tensor.data.size(), kSampleBytes);
      hash.Add(tensor.data.subspan((tensor.data.size() - count) / 2, count));
    }
  }
  return hash.HexDigest();
}

}  // namespace spillway
