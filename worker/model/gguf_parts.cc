#include "worker/model/gguf_parts.h"

#include <cstdint>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

// What a file says of itself.
struct Place {
  int64_t index = 0;
  int64_t count = 1;
  int64_t tensors = 0;  // of all parts
};

absl::Status Named(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::Status Invalid(const std::string& path, const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", message));
}

absl::StatusOr<int64_t> IntegerIn(const GgufHeader& header, std::string_view key, int64_t low,
                                  uint64_t high) {
  const auto found = header.values.find(key);
  if (found == header.values.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: the file is a part of a model and has no ", std::string(key)));
  }
  const GgufValue& value = found->second;
  if (value.is_array || !IsInteger(value.element_type)) {
    return WrongGgufType(key, value, "an integer");
  }
  ASSIGN_OR_RETURN(const int64_t number, GgufIntegerAt(key, value, 0));
  if (number < low || static_cast<uint64_t>(number) > high) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: ", std::string(key), " is ", number, ", beyond ", low, " to ", high));
  }
  return number;
}

absl::StatusOr<Place> PlaceOf(const GgufHeader& header) {
  Place place;
  if (!header.values.contains("split.count")) return place;
  ASSIGN_OR_RETURN(place.count, IntegerIn(header, "split.count", 0, GgufLimits::kPartsMax));
  if (place.count <= 1) return Place{};
  ASSIGN_OR_RETURN(place.index,
                   IntegerIn(header, "split.no", 0, static_cast<uint64_t>(place.count) - 1));
  ASSIGN_OR_RETURN(place.tensors,
                   IntegerIn(header, "split.tensors.count", 0, GgufLimits::kTensorsMax));
  return place;
}

absl::StatusOr<GgufPart> OpenFile(const std::string& path) {
  GgufPart part;
  ASSIGN_OR_RETURN(part.file, MappedFile::Open(path));
  part.bytes = part.file->bytes();
  absl::StatusOr<GgufHeader> header = ReadGgufHeader(part.bytes);
  if (!header.ok()) return Named(path, header.status());
  part.header = *std::move(header);
  return part;
}

// Opens part `index` of those that `first` counts.
absl::StatusOr<GgufPart> OpenPart(const std::string& path, int64_t index, const Place& first) {
  ASSIGN_OR_RETURN(GgufPart part, OpenFile(path));
  const absl::StatusOr<Place> place = PlaceOf(part.header);
  if (!place.ok()) return Named(path, place.status());
  if (place->index != index || place->count != first.count || place->tensors != first.tensors) {
    return Invalid(path, absl::StrCat("GGUF: the file says that it is part ", place->index + 1,
                                      " of ", place->count, " with ", place->tensors,
                                      " tensors in all, its name and the first part say ",
                                      index + 1, " of ", first.count, " with ", first.tensors));
  }
  return part;
}

absl::Status CheckTensors(const std::string& path, const std::vector<GgufPart>& parts,
                          int64_t expected) {
  std::set<std::string_view> names;
  for (const GgufPart& part : parts) {
    for (const ModelTensor& tensor : part.header.tensors) {
      if (names.insert(tensor.name).second) continue;
      return Invalid(path,
                     absl::StrCat("GGUF: two parts have a tensor ", PrintableName(tensor.name)));
    }
  }
  if (static_cast<int64_t>(names.size()) != expected) {
    return Invalid(path, absl::StrCat("GGUF: the parts have ", names.size(),
                                      " tensors together, split.tensors.count says ", expected));
  }
  return absl::OkStatus();
}

}  // namespace

std::string GgufPartSuffix(int64_t index, int64_t count) {
  return absl::StrFormat("-%05d-of-%05d.gguf", index + 1, count);
}

absl::StatusOr<std::vector<GgufPart>> OpenGgufParts(const std::string& path) {
  std::vector<GgufPart> parts;
  ASSIGN_OR_RETURN(GgufPart first_part, OpenFile(path));
  parts.push_back(std::move(first_part));
  const absl::StatusOr<Place> first = PlaceOf(parts[0].header);
  if (!first.ok()) return Named(path, first.status());
  if (first->count == 1) return parts;
  const std::string suffix = GgufPartSuffix(first->index, first->count);
  if (!path.ends_with(suffix)) {
    return Invalid(path, absl::StrCat("GGUF: the file is part ", first->index + 1, " of ",
                                      first->count, ", but its name doesn't end in ", suffix,
                                      ", so the others can't be found"));
  }
  const std::string prefix = path.substr(0, path.size() - suffix.size());
  if (first->index != 0) {
    return Invalid(path,
                   absl::StrCat("GGUF: the file is part ", first->index + 1, " of ", first->count,
                                "; give the first, ", prefix, GgufPartSuffix(0, first->count)));
  }
  for (int64_t index = 1; index < first->count; ++index) {
    ASSIGN_OR_RETURN(GgufPart part,
                     OpenPart(prefix + GgufPartSuffix(index, first->count), index, *first));
    parts.push_back(std::move(part));
  }
  RETURN_IF_ERROR(CheckTensors(path, parts, first->tensors));
  return parts;
}

}  // namespace spillway
