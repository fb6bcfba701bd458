#include "worker/model/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place");

// They differ in what no one uses: version 3 added big-endian files. Version 1 counts in 32 bits.
constexpr uint32_t kVersionMin = 2;
constexpr uint32_t kVersionMax = 3;
constexpr uint32_t kDefaultAlignment = 32;
constexpr std::string_view kAlignmentKey = "general.alignment";

template <typename... Parts>
absl::Status Invalid(size_t offset, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("GGUF at byte ", offset, ": ", parts...));
}

// Walks the header. Every read is checked against the end of the file and kHeaderBytesMax.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> file)
      : bytes_(file.first(std::min<size_t>(file.size(), GgufLimits::kHeaderBytesMax))),
        file_bytes_(file.size()) {}

  size_t offset() const { return offset_; }

  absl::StatusOr<std::span<const std::byte>> Take(uint64_t count, std::string_view what) {
    const size_t left = bytes_.size() - offset_;
    if (count > left) {
      if (bytes_.size() < file_bytes_) {
        return Invalid(offset_, std::string(what), " goes beyond the limit of ",
                       GgufLimits::kHeaderBytesMax, " bytes before the tensor data");
      }
      return Invalid(offset_, std::string(what), " needs ", count, " bytes, the file has ", left,
                     " left");
    }
    const std::span<const std::byte> taken = bytes_.subspan(offset_, count);
    offset_ += count;
    return taken;
  }

  template <typename T>
  absl::StatusOr<T> Read(std::string_view what) {
    ASSIGN_OR_RETURN(const std::span<const std::byte> taken, Take(sizeof(T), what));
    T value;
    std::memcpy(&value, taken.data(), sizeof(T));
    return value;
  }

  // A number in [low, high].
  template <typename T>
  absl::StatusOr<T> ReadInRange(std::string_view what, uint64_t low, uint64_t high) {
    const size_t at = offset_;
    ASSIGN_OR_RETURN(const T value, Read<T>(what));
    if (value < low || value > high) {
      return Invalid(at, std::string(what), " is ", value, ", beyond ", low, " to ", high);
    }
    return value;
  }

  absl::StatusOr<std::string_view> ReadString(std::string_view what, uint64_t low, uint64_t high) {
    const size_t at = offset_;
    ASSIGN_OR_RETURN(const uint64_t length, Read<uint64_t>(what));
    if (length < low || length > high) {
      return Invalid(at, std::string(what), " has a length of ", length, ", beyond ", low, " to ",
                     high);
    }
    ASSIGN_OR_RETURN(const std::span<const std::byte> taken, Take(length, what));
    return std::string_view(reinterpret_cast<const char*>(taken.data()), taken.size());
  }

 private:
  const std::span<const std::byte> bytes_;
  const size_t file_bytes_;
  size_t offset_ = 0;
};

absl::StatusOr<GgufValueType> ReadValueType(Cursor& cursor, std::string_view what) {
  const size_t at = cursor.offset();
  ASSIGN_OR_RETURN(const uint32_t number, cursor.Read<uint32_t>(what));
  constexpr auto kLast = static_cast<uint32_t>(GgufValueType::kFloat64);
  if (number <= kLast) return static_cast<GgufValueType>(number);
  return Invalid(at, std::string(what), " ", number, " is unknown (limit ", kLast, ")");
}

// Checks `value.count` elements and sets value.bytes to them.
absl::Status ReadElements(Cursor& cursor, std::string_view key, GgufValue& value) {
  const std::string what = absl::StrCat("the value of ", PrintableName(key));
  const size_t begin = cursor.offset();
  if (value.element_type == GgufValueType::kString) {
    const char* first = nullptr;
    size_t bytes = 0;
    for (size_t i = 0; i < value.count; ++i) {
      const size_t before = cursor.offset();
      ASSIGN_OR_RETURN(const std::string_view text,
                       cursor.ReadString(what, 0, GgufLimits::kStringBytesMax));
      if (i == 0) first = text.data() - sizeof(uint64_t);
      bytes += cursor.offset() - before;
    }
    value.bytes = {reinterpret_cast<const std::byte*>(first), bytes};
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(value.bytes,
                   cursor.Take(value.count * GgufScalarBytes(value.element_type), what));
  if (value.element_type == GgufValueType::kBool) {
    const auto bad = std::find_if(value.bytes.begin(), value.bytes.end(),
                                  [](std::byte byte) { return byte > std::byte{1}; });
    if (bad != value.bytes.end()) {
      return Invalid(begin + static_cast<size_t>(bad - value.bytes.begin()), what, " is the bool ",
                     static_cast<int>(*bad), ", which is neither 0 nor 1");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufValue> ReadValue(Cursor& cursor, std::string_view key) {
  GgufValue value{};
  ASSIGN_OR_RETURN(value.element_type, ReadValueType(cursor, "value type"));
  if (value.element_type == GgufValueType::kArray) {
    value.is_array = true;
    ASSIGN_OR_RETURN(value.element_type, ReadValueType(cursor, "array element type"));
    if (value.element_type == GgufValueType::kArray) {
      return absl::UnimplementedError(absl::StrCat(
          "GGUF at byte ", cursor.offset() - sizeof(uint32_t), ": ", PrintableName(key),
          " is an array of arrays; this build reads arrays of depth 1"));
    }
    ASSIGN_OR_RETURN(value.count, cursor.ReadInRange<uint64_t>("array length", 0,
                                                               GgufLimits::kArrayElementsMax));
  }
  RETURN_IF_ERROR(ReadElements(cursor, key, value));
  return value;
}

struct Counts {
  uint64_t tensors = 0;
  uint64_t keys = 0;
};

absl::StatusOr<Counts> ReadPreamble(Cursor& cursor) {
  ASSIGN_OR_RETURN(const uint32_t magic, cursor.Read<uint32_t>("magic"));
  if (magic != 0x46554747) {  // "GGUF"
    return Invalid(0, "not a GGUF file: it does not begin with \"GGUF\"");
  }
  ASSIGN_OR_RETURN(const uint32_t version, cursor.Read<uint32_t>("version"));
  if (version < kVersionMin || version > kVersionMax) {
    // A big-endian file's small version number has its low half empty.
    if (version != 0 && (version & 0xffff) == 0) {
      return absl::UnimplementedError(
          "GGUF at byte 4: the file is big-endian; this build reads little-endian ones");
    }
    return absl::UnimplementedError(absl::StrCat(
        "GGUF at byte 4: version ", version, "; this build reads versions ", kVersionMin, " and ",
        kVersionMax, " (convert it again with a current llama.cpp)"));
  }
  Counts counts;
  ASSIGN_OR_RETURN(counts.tensors,
                   cursor.ReadInRange<uint64_t>("tensor count", 0, GgufLimits::kTensorsMax));
  ASSIGN_OR_RETURN(counts.keys,
                   cursor.ReadInRange<uint64_t>("metadata count", 0, GgufLimits::kKeysMax));
  return counts;
}

absl::Status ReadMetadata(Cursor& cursor, uint64_t count, GgufHeader& header) {
  for (uint64_t i = 0; i < count; ++i) {
    const size_t at = cursor.offset();
    ASSIGN_OR_RETURN(const std::string_view key,
                     cursor.ReadString("metadata key", 1, GgufLimits::kKeyBytesMax));
    ASSIGN_OR_RETURN(const GgufValue value, ReadValue(cursor, key));
    if (!header.values.emplace(key, value).second) {
      return Invalid(at, "the key ", PrintableName(key), " is there twice");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Alignment(const GgufHeader& header) {
  const auto found = header.values.find(kAlignmentKey);
  if (found == header.values.end()) return kDefaultAlignment;
  const GgufValue& value = found->second;
  if (value.is_array || value.element_type != GgufValueType::kUint32) {
    return absl::InvalidArgumentError("GGUF: general.alignment is not a uint32");
  }
  uint32_t alignment;
  std::memcpy(&alignment, value.bytes.data(), sizeof(alignment));
  if (!std::has_single_bit(alignment) || alignment < GgufLimits::kAlignmentMin ||
      alignment > GgufLimits::kAlignmentMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: general.alignment is ", alignment, ", not a power of two from ",
                     GgufLimits::kAlignmentMin, " to ", GgufLimits::kAlignmentMax));
  }
  return alignment;
}

// A tensor whose data is still an offset and a size.
struct TensorEntry {
  ModelTensor tensor;
  uint64_t offset = 0;  // from the start of the tensor data
  uint64_t bytes = 0;
};

// Bytes of a tensor of `dims`, none of which is 0.
absl::StatusOr<uint64_t> TensorBytes(TensorType type, std::span<const int64_t> dims, size_t at,
                                     const std::string& name) {
  const TensorBlock block = TensorBlockOf(type);
  if (dims[0] % block.elements != 0) {
    return Invalid(at, "tensor ", name, " has rows of ", dims[0], " elements, not a multiple of ",
                   block.elements, " as ", std::string(TensorTypeName(type)), " needs");
  }
  uint64_t bytes = static_cast<uint64_t>(dims[0] / block.elements);
  bool overflow = __builtin_mul_overflow(bytes, static_cast<uint64_t>(block.bytes), &bytes);
  for (const int64_t dim : dims.subspan(1)) {
    overflow |= __builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes);
  }
  if (overflow) return Invalid(at, "tensor ", name, "'s size exceeds 64 bits");
  return bytes;
}

absl::StatusOr<TensorEntry> ReadTensorEntry(Cursor& cursor, uint64_t alignment) {
  const size_t at = cursor.offset();
  TensorEntry entry{};
  ASSIGN_OR_RETURN(const std::string_view name,
                   cursor.ReadString("tensor name", 1, GgufLimits::kTensorNameBytesMax));
  entry.tensor.name = std::string(name);
  const std::string shown = PrintableName(name);
  ASSIGN_OR_RETURN(const uint32_t dim_count,
                   cursor.ReadInRange<uint32_t>("dimension count of tensor " + shown, 1,
                                                GgufLimits::kTensorDimsMax));
  for (uint32_t i = 0; i < dim_count; ++i) {
    ASSIGN_OR_RETURN(const uint64_t dim,
                     cursor.ReadInRange<uint64_t>("a dimension of tensor " + shown, 1, INT64_MAX));
    entry.tensor.dims.push_back(static_cast<int64_t>(dim));
  }
  const size_t type_at = cursor.offset();
  ASSIGN_OR_RETURN(const uint32_t number, cursor.Read<uint32_t>("tensor type"));
  const std::optional<TensorType> type = TensorTypeFromNumber(number);
  if (!type.has_value()) {
    return absl::UnimplementedError(absl::StrCat("GGUF at byte ", type_at, ": tensor ", shown,
                                                 " has type ", UnreadableTensorTypeName(number),
                                                 "; this build reads ", ReadableTensorTypeNames()));
  }
  entry.tensor.type = *type;
  const size_t offset_at = cursor.offset();
  ASSIGN_OR_RETURN(entry.offset, cursor.Read<uint64_t>("tensor offset"));
  if (entry.offset % alignment != 0) {
    return Invalid(offset_at, "the offset of tensor ", shown, " is ", entry.offset,
                   ", not a multiple of the alignment ", alignment);
  }
  ASSIGN_OR_RETURN(entry.bytes, TensorBytes(*type, entry.tensor.dims, at, shown));
  return entry;
}

// Gives each tensor its bytes in `data`; refuses duplicate names and overlaps.
absl::Status PlaceTensors(std::span<const std::byte> data, size_t data_begin,
                          std::vector<TensorEntry>& entries) {
  for (TensorEntry& entry : entries) {
    if (entry.offset > data.size() || entry.bytes > data.size() - entry.offset) {
      return Invalid(data_begin, "tensor ", PrintableName(entry.tensor.name), " takes ",
                     entry.bytes, " bytes at offset ", entry.offset,
                     " of the tensor data, which has ", data.size());
    }
    entry.tensor.data = data.subspan(entry.offset, entry.bytes);
  }
  std::vector<const TensorEntry*> sorted;
  for (const TensorEntry& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return a->tensor.name < b->tensor.name;
  });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i]->tensor.name == sorted[i - 1]->tensor.name) {
      return Invalid(data_begin, "tensor ", PrintableName(sorted[i]->tensor.name),
                     " is there twice");
    }
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const TensorEntry* a, const TensorEntry* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const TensorEntry& before = *sorted[i - 1];
    if (before.offset + before.bytes > sorted[i]->offset) {
      return Invalid(data_begin, "tensors ", PrintableName(before.tensor.name), " and ",
                     PrintableName(sorted[i]->tensor.name), " overlap at offset ",
                     sorted[i]->offset, " of the tensor data");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufHeader> ReadGgufHeader(std::span<const std::byte> bytes) {
  Cursor cursor(bytes);
  GgufHeader header;
  ASSIGN_OR_RETURN(const Counts counts, ReadPreamble(cursor));
  RETURN_IF_ERROR(ReadMetadata(cursor, counts.keys, header));
  ASSIGN_OR_RETURN(const uint64_t alignment, Alignment(header));
  std::vector<TensorEntry> entries;
  for (uint64_t i = 0; i < counts.tensors; ++i) {
    ASSIGN_OR_RETURN(TensorEntry entry, ReadTensorEntry(cursor, alignment));
    entries.push_back(std::move(entry));
  }
  header.header_bytes = cursor.offset();
  // A file without tensors may end before the padding.
  const size_t data_begin =
      std::min((cursor.offset() + alignment - 1) / alignment * alignment, bytes.size());
  RETURN_IF_ERROR(PlaceTensors(bytes.subspan(data_begin), data_begin, entries));
  for (TensorEntry& entry : entries) header.tensors.push_back(std::move(entry.tensor));
  return header;
}

}  // namespace spillway
