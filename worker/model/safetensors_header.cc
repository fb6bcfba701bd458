#include "worker/model/safetensors_header.h"

#include <string>
#include <unordered_set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

using nlohmann::json;
using Limits = SafetensorsLimits;

constexpr std::string_view kMetadataKey = "__metadata__";

// Takes nlohmann's events; each returns false once something is wrong, which ends the parsing.
class HeaderBuilder : public nlohmann::json_sax<json> {
 public:
  bool null() override { return UnexpectedValue("null"); }
  bool boolean(bool /*value*/) override { return UnexpectedValue("a boolean"); }
  bool number_integer(number_integer_t /*value*/) override {
    return UnexpectedValue("a negative number");
  }
  bool number_float(number_float_t /*value*/, const string_t& text) override {
    return UnexpectedValue(absl::StrCat("the number ", PrintableName(text)));
  }
  bool binary(json::binary_t& /*value*/) override { return UnexpectedValue("binary data"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& value) override;
  bool start_object(size_t /*elements*/) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(size_t /*elements*/) override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string& /*token*/,
                   const json::exception& /*exception*/) override {
    return Fail("the header is not JSON at its byte ", position);
  }

  absl::StatusOr<std::vector<SafetensorsEntry>> result() && {
    if (!status_.ok()) return status_;
    return std::move(entries_);
  }

 private:
  enum class Place { kBegin, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };
  enum class Field { kNone, kDtype, kShape, kOffsets };

  template <typename... Parts>
  bool Fail(const Parts&... parts) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat("safetensors: ", parts...));
    }
    return false;
  }
  bool UnexpectedValue(const std::string& what) {
    return Fail(what, " where ", Wanted(), " should be", Where());
  }
  std::string Wanted() const;
  std::string Where() const;
  bool CheckLength(std::string_view text, const char* what);
  bool BeginField(std::string_view name);

  SafetensorsEntry& entry() { return entries_.back(); }

  absl::Status status_;
  Place place_ = Place::kBegin;
  Field field_ = Field::kNone;  // of the tensor, whose value comes next
  bool has_[4] = {};            // by Field: those that the tensor has
  size_t offset_count_ = 0;
  std::vector<SafetensorsEntry> entries_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> metadata_keys_;
  bool has_metadata_ = false;
};

std::string HeaderBuilder::Wanted() const {
  switch (place_) {
    case Place::kMetadata:
      return "a string";
    case Place::kTensor:
      return field_ == Field::kDtype ? "a string" : "an array";
    case Place::kShape:
    case Place::kOffsets:
      return "a natural number";
    default:
      return "an object";
  }
}

std::string HeaderBuilder::Where() const {
  if (place_ == Place::kMetadata) return absl::StrCat(" in ", std::string(kMetadataKey));
  if (entries_.empty() || place_ == Place::kBegin || place_ == Place::kEnd) return "";
  return absl::StrCat(" in or after tensor ", PrintableName(entries_.back().name));
}

bool HeaderBuilder::CheckLength(std::string_view text, const char* what) {
  if (text.size() <= Limits::kNameBytesMax) return true;
  return Fail(what, " ", PrintableName(text), " has ", text.size(), " bytes, beyond the limit of ",
              Limits::kNameBytesMax);
}

bool HeaderBuilder::number_unsigned(number_unsigned_t value) {
  if (place_ == Place::kShape) {
    if (entry().shape.size() == Limits::kDimsMax) {
      return Fail("tensor ", PrintableName(entry().name), " has over ", Limits::kDimsMax,
                  " dimensions");
    }
    entry().shape.push_back(value);
    return true;
  }
  if (place_ == Place::kOffsets) {
    if (offset_count_ == 2) {
      return Fail("tensor ", PrintableName(entry().name), " has over 2 data_offsets");
    }
    (offset_count_++ == 0 ? entry().begin : entry().end) = value;
    return true;
  }
  return UnexpectedValue("a number");
}

bool HeaderBuilder::string(string_t& value) {
  if (place_ == Place::kMetadata) return true;
  if (place_ != Place::kTensor || field_ != Field::kDtype) return UnexpectedValue("a string");
  if (!CheckLength(value, "the dtype")) return false;
  entry().dtype = std::move(value);
  return true;
}

bool HeaderBuilder::start_object(size_t /*elements*/) {
  switch (place_) {
    case Place::kBegin:
      place_ = Place::kTop;
      return true;
    case Place::kTop:
      // key() has seen which of the two it is.
      place_ = field_ == Field::kNone ? Place::kTensor : Place::kMetadata;
      field_ = Field::kNone;
      return true;
    default:
      return UnexpectedValue("an object");
  }
}

bool HeaderBuilder::key(string_t& name) {
  if (place_ == Place::kMetadata) {
    if (metadata_keys_.insert(name).second) return true;
    return Fail(std::string(kMetadataKey), " has ", PrintableName(name), " twice");
  }
  if (place_ == Place::kTensor) return BeginField(name);
  if (name == kMetadataKey) {
    if (std::exchange(has_metadata_, true)) return Fail(name, " is there twice");
    field_ = Field::kDtype;  // tells start_object() that no tensor follows
    return true;
  }
  if (!CheckLength(name, "the tensor name")) return false;
  if (entries_.size() == Limits::kTensorsMax) {
    return Fail("over ", Limits::kTensorsMax, " tensors");
  }
  if (!names_.insert(name).second) return Fail("tensor ", PrintableName(name), " is there twice");
  entries_.push_back({.name = std::move(name)});
  field_ = Field::kNone;
  offset_count_ = 0;
  std::fill(std::begin(has_), std::end(has_), false);
  return true;
}

bool HeaderBuilder::BeginField(std::string_view name) {
  field_ = name == "dtype"          ? Field::kDtype
           : name == "shape"        ? Field::kShape
           : name == "data_offsets" ? Field::kOffsets
                                    : Field::kNone;
  if (field_ == Field::kNone) {
    return Fail("tensor ", PrintableName(entry().name), " has a field ", PrintableName(name),
                "; known are dtype, shape, data_offsets");
  }
  if (std::exchange(has_[static_cast<size_t>(field_)], true)) {
    return Fail("tensor ", PrintableName(entry().name), " has ", std::string(name), " twice");
  }
  return true;
}

bool HeaderBuilder::end_object() {
  if (place_ == Place::kTop) {
    place_ = Place::kEnd;
    return true;
  }
  if (place_ == Place::kTensor) {
    for (const auto& [field, name] : {std::pair(Field::kDtype, "dtype"),
                                      {Field::kShape, "shape"},
                                      {Field::kOffsets, "data_offsets"}}) {
      if (!has_[static_cast<size_t>(field)]) {
        return Fail("tensor ", PrintableName(entry().name), " has no ", name);
      }
    }
    if (offset_count_ != 2) {
      return Fail("tensor ", PrintableName(entry().name), " has ", offset_count_,
                  " data_offsets, not 2");
    }
  }
  place_ = Place::kTop;
  return true;
}

bool HeaderBuilder::start_array(size_t /*elements*/) {
  if (place_ != Place::kTensor || field_ == Field::kDtype) return UnexpectedValue("an array");
  place_ = field_ == Field::kShape ? Place::kShape : Place::kOffsets;
  return true;
}

bool HeaderBuilder::end_array() {
  place_ = Place::kTensor;
  return true;
}

}  // namespace

absl::StatusOr<std::vector<SafetensorsEntry>> ReadSafetensorsHeader(std::string_view json_text) {
  if (!json_text.starts_with('{')) {
    return absl::InvalidArgumentError("safetensors: the header does not begin with {");
  }
  HeaderBuilder builder;
  // The builder has kept what was wrong.
  (void)json::sax_parse(json_text, &builder);
  return std::move(builder).result();
}

}  // namespace spillway
