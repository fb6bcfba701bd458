#include "worker/model/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/mapped_file.h"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are read in place");

constexpr size_t kLengthBytes = 8;  // of the number that a file begins with: the header's length

struct DtypeRow {
  std::string_view name;
  uint32_t bits;
  std::optional<TensorType> type;
};

// All that the format has (safetensors 0.6, src/tensor.rs).
constexpr DtypeRow kDtypes[] = {
    {"F32", 32, TensorType::kF32}, {"F16", 16, TensorType::kF16}, {"BF16", 16, TensorType::kBF16},
    {"F64", 64, std::nullopt},     {"F8_E4M3", 8, std::nullopt},  {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},  {"F6_E2M3", 6, std::nullopt},  {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},       {"C64", 64, std::nullopt},     {"I64", 64, std::nullopt},
    {"U64", 64, std::nullopt},     {"I32", 32, std::nullopt},     {"U32", 32, std::nullopt},
    {"I16", 16, std::nullopt},     {"U16", 16, std::nullopt},     {"I8", 8, std::nullopt},
    {"U8", 8, std::nullopt},       {"BOOL", 8, std::nullopt},
};

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("safetensors: ", parts...));
}

absl::StatusOr<std::span<const std::byte>> FindHeader(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    return Invalid("the file has ", file.size(), " bytes; it begins with ", kLengthBytes,
                   " that tell the header's length");
  }
  uint64_t length;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > SafetensorsLimits::kHeaderBytesMax) {
    return Invalid("the header has ", length, " bytes, beyond the limit of ",
                   SafetensorsLimits::kHeaderBytesMax, " (is this a safetensors file?)");
  }
  const size_t left = file.size() - kLengthBytes;
  if (length > left) {
    return Invalid("the header has ", length, " bytes, the file has ", left, " left");
  }
  return file.subspan(kLengthBytes, length);
}

absl::StatusOr<const DtypeRow*> FindDtype(const SafetensorsEntry& entry) {
  for (const DtypeRow& row : kDtypes) {
    if (row.name == entry.dtype) return &row;
  }
  return absl::UnimplementedError(absl::StrCat("safetensors: tensor ", PrintableName(entry.name),
                                               " has the dtype ", PrintableName(entry.dtype),
                                               "; this build reads BF16, F16 and F32"));
}

absl::StatusOr<uint64_t> TensorBytes(const SafetensorsEntry& entry, const DtypeRow& dtype) {
  uint64_t elements = 1;
  bool overflow = false;
  for (const uint64_t dim : entry.shape) {
    // Also of an empty tensor each dimension is one that we can count with.
    overflow |= dim > uint64_t{INT64_MAX};
    overflow |= __builtin_mul_overflow(elements, dim, &elements);
  }
  uint64_t bits = 0;
  overflow |= __builtin_mul_overflow(elements, uint64_t{dtype.bits}, &bits);
  if (overflow) return Invalid("tensor ", PrintableName(entry.name), "'s size exceeds 64 bits");
  if (bits % 8 != 0) {
    return Invalid("tensor ", PrintableName(entry.name), " has ", bits, " bits: no whole bytes");
  }
  return bits / 8;
}

// One after the other from 0 to the end of the data.
absl::Status CheckPlaces(std::span<const SafetensorsEntry> entries, uint64_t data_bytes) {
  std::vector<const SafetensorsEntry*> sorted;
  for (const SafetensorsEntry& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t end = 0;
  for (const SafetensorsEntry* entry : sorted) {
    if (entry->begin != end) {
      return Invalid("tensor ", PrintableName(entry->name), " begins at offset ", entry->begin,
                     entry->begin < end ? ", inside the one before it, which ends at "
                                        : ", not where the one before it ends, at ",
                     end);
    }
    end = entry->end;
  }
  if (end != data_bytes) {
    return Invalid("the tensors take ", end, " bytes, the file has ", data_bytes, " for them");
  }
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsTensor> MakeTensor(SafetensorsEntry& entry,
                                             std::span<const std::byte> data) {
  ASSIGN_OR_RETURN(const DtypeRow* const dtype, FindDtype(entry));
  ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(entry, *dtype));
  if (entry.begin > entry.end || entry.end > data.size()) {
    return Invalid("tensor ", PrintableName(entry.name), " has data_offsets ", entry.begin, " to ",
                   entry.end, "; the file has ", data.size(), " bytes of tensor data");
  }
  if (entry.end - entry.begin != bytes) {
    return Invalid("tensor ", PrintableName(entry.name), " has ", entry.end - entry.begin,
                   " bytes; its shape and dtype take ", bytes);
  }
  SafetensorsTensor tensor;
  tensor.name = entry.name;
  tensor.dtype = std::move(entry.dtype);
  tensor.type = dtype->type;
  tensor.shape.assign(entry.shape.begin(), entry.shape.end());
  tensor.data = data.subspan(entry.begin, bytes);
  return tensor;
}

}  // namespace

SafetensorsFile::SafetensorsFile() = default;
SafetensorsFile::~SafetensorsFile() = default;

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapped, MappedFile::Open(path));
  ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> file, Parse(mapped->bytes()));
  file->file_ = std::move(mapped);
  return file;
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Parse(
    std::span<const std::byte> bytes) {
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile());
  ASSIGN_OR_RETURN(file->header_, FindHeader(bytes));
  ASSIGN_OR_RETURN(std::vector<SafetensorsEntry> entries,
                   ReadSafetensorsHeader({reinterpret_cast<const char*>(file->header_.data()),
                                          file->header_.size()}));
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + file->header_.size());
  for (SafetensorsEntry& entry : entries) {
    ASSIGN_OR_RETURN(SafetensorsTensor tensor, MakeTensor(entry, data));
    file->tensors_.push_back(std::move(tensor));
  }
  RETURN_IF_ERROR(CheckPlaces(entries, data.size()));
  std::sort(file->tensors_.begin(), file->tensors_.end(),
            [](const SafetensorsTensor& a, const SafetensorsTensor& b) { return a.name < b.name; });
  return file;
}

const SafetensorsTensor* SafetensorsFile::FindTensor(std::string_view name) const {
  const auto found = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                      [](const SafetensorsTensor& tensor, std::string_view wanted) {
                                        return tensor.name < wanted;
                                      });
  return found == tensors_.end() || found->name != name ? nullptr : &*found;
}

}  // namespace spillway
