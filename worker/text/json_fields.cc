#include "worker/text/json_fields.h"

#include <simdjson.h>

#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

using Raw = simdjson::dom::element;

Raw RawOf(const std::array<uint64_t, 2>& element) { return std::bit_cast<Raw>(element); }

const char* NameOf(simdjson::dom::element_type type) {
  using Type = simdjson::dom::element_type;
  switch (type) {
    case Type::ARRAY:
      return "an array";
    case Type::OBJECT:
      return "an object";
    case Type::STRING:
      return "a string";
    case Type::BOOL:
      return "a boolean";
    case Type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

}  // namespace

class JsonDocument::Parser {
 public:
  simdjson::dom::parser parser;
};

absl::StatusOr<JsonDocument> JsonDocument::Parse(std::string_view text, std::string file_name) {
  // simdjson would copy from where there is nothing.
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(file_name, ": no JSON: empty"));
  auto parser = std::make_unique<Parser>();
  Raw root;
  if (const auto error = parser->parser.parse(text.data(), text.size()).get(root)) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ": no JSON: ", simdjson::error_message(error)));
  }
  return JsonDocument(std::move(parser),
                      JsonField(std::bit_cast<JsonField::Element>(root), std::move(file_name)));
}

JsonDocument::JsonDocument(std::unique_ptr<Parser> parser, JsonField root)
    : parser_(std::move(parser)), root_(std::move(root)) {}
JsonDocument::~JsonDocument() = default;
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;

bool JsonField::is_null() const { return RawOf(element_).is_null(); }
bool JsonField::is_string() const { return RawOf(element_).is_string(); }
bool JsonField::is_object() const { return RawOf(element_).is_object(); }
bool JsonField::is_array() const { return RawOf(element_).is_array(); }

JsonField JsonField::At(Element element, std::string_view key) const {
  const char* const separator = path_.find(": ") == std::string::npos ? ": " : ".";
  return {element, absl::StrCat(path_, separator, std::string(key))};
}

std::optional<JsonField> JsonField::Find(std::string_view key) const {
  Raw value;
  if (!is_object() || RawOf(element_).at_key(key).get(value) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  if (value.is_null()) return std::nullopt;
  return At(std::bit_cast<Element>(value), key);
}

absl::StatusOr<JsonField> JsonField::Get(std::string_view key) const {
  if (std::optional<JsonField> found = Find(key)) return *std::move(found);
  if (!is_object()) return Wrong("is no object");
  return Wrong(absl::StrCat("has no ", std::string(key)));
}

absl::StatusOr<std::string_view> JsonField::String(size_t bytes_max) const {
  std::string_view text;
  if (RawOf(element_).get(text) != simdjson::SUCCESS) return Wrong("is no string");
  if (text.size() > bytes_max) {
    return Wrong(absl::StrCat("has ", text.size(), " bytes, beyond the limit of ", bytes_max));
  }
  return text;
}

absl::StatusOr<bool> JsonField::Bool() const {
  bool value = false;
  if (RawOf(element_).get(value) != simdjson::SUCCESS) return Wrong("is no boolean");
  return value;
}

absl::StatusOr<int64_t> JsonField::Int(int64_t low, int64_t high) const {
  int64_t value = 0;
  if (RawOf(element_).get(value) != simdjson::SUCCESS) return Wrong("is no integer");
  if (value < low || value > high) {
    return Wrong(absl::StrCat("is ", value, ", beyond ", low, " to ", high));
  }
  return value;
}

absl::StatusOr<double> JsonField::Number() const {
  double value = 0;
  if (RawOf(element_).get(value) != simdjson::SUCCESS) return Wrong("is no number");
  return value;
}

absl::StatusOr<std::vector<JsonField>> JsonField::Elements(size_t count_max) const {
  simdjson::dom::array array;
  if (RawOf(element_).get(array) != simdjson::SUCCESS) return Wrong("is no array");
  std::vector<JsonField> elements;
  for (const Raw element : array) {
    if (elements.size() == count_max) {
      return Wrong(absl::StrCat("has more than ", count_max, " elements"));
    }
    elements.push_back(
        At(std::bit_cast<Element>(element), absl::StrCat("[", elements.size(), "]")));
  }
  return elements;
}

absl::Status JsonField::ForEachMember(const OnMember& on_member) const {
  simdjson::dom::object object;
  if (RawOf(element_).get(object) != simdjson::SUCCESS) return Wrong("is no object");
  JsonField value = *this;
  for (const auto member : object) {
    value.element_ = std::bit_cast<Element>(member.value);
    RETURN_IF_ERROR(on_member(member.key, value));
  }
  return absl::OkStatus();
}

absl::Status JsonField::ForEachElement(const OnElement& on_element) const {
  simdjson::dom::array array;
  if (RawOf(element_).get(array) != simdjson::SUCCESS) return Wrong("is no array");
  JsonField value = *this;
  for (const Raw element : array) {
    value.element_ = std::bit_cast<Element>(element);
    RETURN_IF_ERROR(on_element(value));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> JsonField::StringOr(std::string_view key, std::string_view fallback,
                                                size_t bytes_max) const {
  const std::optional<JsonField> field = Find(key);
  if (!field) return std::string(fallback);
  ASSIGN_OR_RETURN(const std::string_view text, field->String(bytes_max));
  return std::string(text);
}

absl::StatusOr<bool> JsonField::BoolOr(std::string_view key, bool fallback) const {
  const std::optional<JsonField> field = Find(key);
  return field ? field->Bool() : fallback;
}

absl::StatusOr<int64_t> JsonField::IntOr(std::string_view key, int64_t fallback, int64_t low,
                                         int64_t high) const {
  const std::optional<JsonField> field = Find(key);
  return field ? field->Int(low, high) : fallback;
}

absl::Status JsonField::Wrong(std::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat(path_, " ", std::string(what), " (it is ", NameOf(RawOf(element_).type()), ")"));
}

absl::Status JsonField::Unknown(std::string_view what) const {
  return absl::UnimplementedError(absl::StrCat(path_, " ", std::string(what)));
}

}  // namespace spillway
