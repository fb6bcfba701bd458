#include "worker/model/json_object.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

using nlohmann::json;

// Sees a document before it is built: whether it is JSON, and how deep.
class FormChecker : public nlohmann::json_sax<json> {
 public:
  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(json::binary_t& /*value*/) override { return false; }
  bool key(string_t& /*name*/) override { return true; }
  bool start_object(size_t /*elements*/) override { return Deeper(); }
  bool start_array(size_t /*elements*/) override { return Deeper(); }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const json::exception& /*exception*/) override {
    problem_ = absl::StrCat("not JSON at byte ", position);
    return false;
  }

  const std::string& problem() const { return problem_; }

 private:
  bool Deeper() {
    if (++depth_ <= JsonLimits::kDepthMax) return true;
    problem_ = absl::StrCat("nested deeper than the limit of ", JsonLimits::kDepthMax);
    return false;
  }

  int depth_ = 0;
  std::string problem_;
};

absl::StatusOr<json> ParseDocument(std::string_view text, std::string_view file) {
  if (text.size() > JsonLimits::kBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(file), ": ", text.size(),
                                                   " bytes, beyond the limit of ",
                                                   JsonLimits::kBytesMax));
  }
  FormChecker form;
  if (!json::sax_parse(text, &form)) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(file), ": ", form.problem()));
  }
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// For messages: as JSON, in ASCII, cut short.
std::string Shown(const json& value) {
  constexpr size_t kShownBytes = 80;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (text.size() > kShownBytes) text.replace(kShownBytes, std::string::npos, "...");
  return text;
}

template <typename T>
absl::Status OutOfRange(const std::string& name, const json& value, T low, T high) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", Shown(value), ", beyond ", low, " to ", high));
}

}  // namespace

struct JsonObject::Node {
  std::shared_ptr<const json> document;
  const json* value;  // an object inside it
  std::string file;
  std::string prefix;  // of its fields: "rope_scaling."

  // nullptr: missing, or null.
  const json* Find(std::string_view key) const {
    const auto found = value->find(key);
    return found == value->end() || found->is_null() ? nullptr : &*found;
  }
};

JsonObject::JsonObject(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

absl::StatusOr<JsonObject> JsonObject::Parse(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(json document, ParseDocument(text, file));
  if (!document.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(file), ": not an object"));
  }
  auto shared = std::make_shared<const json>(std::move(document));
  const json* const value = shared.get();
  return JsonObject(
      std::make_shared<const Node>(Node{std::move(shared), value, std::string(file), ""}));
}

absl::StatusOr<std::vector<JsonObject>> JsonObject::ParseArray(std::string_view text,
                                                               std::string_view file) {
  ASSIGN_OR_RETURN(json document, ParseDocument(text, file));
  if (!document.is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(file), ": not an array"));
  }
  const auto shared = std::make_shared<const json>(std::move(document));
  std::vector<JsonObject> objects;
  for (const json& element : *shared) {
    const std::string prefix = absl::StrCat("[", objects.size(), "].");
    if (!element.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(std::string(file), ": element ", objects.size(), " is not an object"));
    }
    objects.push_back(JsonObject(
        std::make_shared<const Node>(Node{shared, &element, std::string(file), prefix})));
  }
  return objects;
}

std::string JsonObject::NameOf(std::string_view key) const {
  return absl::StrCat(node_->file, ": ", node_->prefix, PrintableName(key));
}

absl::Status JsonObject::Missing(std::string_view key) const {
  return absl::InvalidArgumentError(absl::StrCat(NameOf(key), " is missing"));
}

absl::Status JsonObject::WrongType(std::string_view key, std::string_view wanted) const {
  return absl::InvalidArgumentError(
      absl::StrCat(NameOf(key), " is ", Shown(*node_->Find(key)), ", not ", std::string(wanted)));
}

bool JsonObject::Has(std::string_view key) const { return node_->Find(key) != nullptr; }

bool JsonObject::IsNull(std::string_view key) const {
  const auto found = node_->value->find(key);
  return found != node_->value->end() && found->is_null();
}

bool JsonObject::IsString(std::string_view key) const {
  const json* const value = node_->Find(key);
  return value != nullptr && value->is_string();
}

bool JsonObject::IsObject(std::string_view key) const {
  const json* const value = node_->Find(key);
  return value != nullptr && value->is_object();
}

std::vector<std::string> JsonObject::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : node_->value->items()) keys.push_back(key);
  return keys;
}

absl::StatusOr<int64_t> JsonObject::Int(std::string_view key, int64_t low, int64_t high) const {
  const json* const value = node_->Find(key);
  if (value == nullptr) return Missing(key);
  if (!value->is_number_integer()) return WrongType(key, "an integer");
  ASSIGN_OR_RETURN(const std::vector<int64_t> ints, Ints(key, low, high));
  return ints.front();
}

absl::StatusOr<int64_t> JsonObject::IntOr(std::string_view key, int64_t otherwise, int64_t low,
                                          int64_t high) const {
  if (Has(key)) return Int(key, low, high);
  return otherwise;
}

absl::StatusOr<std::vector<int64_t>> JsonObject::Ints(std::string_view key, int64_t low,
                                                      int64_t high) const {
  const json* const value = node_->Find(key);
  if (value == nullptr) return Missing(key);
  std::vector<int64_t> ints;
  const auto add = [&](const json& element) -> absl::Status {
    if (!element.is_number_integer()) return WrongType(key, "an integer");
    // Beyond int64's range it is beyond every range that we ask for.
    const bool huge = element.is_number_unsigned() && element.get<uint64_t>() > INT64_MAX;
    const int64_t number = huge ? INT64_MAX : element.get<int64_t>();
    if (huge || number < low || number > high) return OutOfRange(NameOf(key), element, low, high);
    ints.push_back(number);
    return absl::OkStatus();
  };
  if (!value->is_array()) {
    RETURN_IF_ERROR(add(*value));
  } else {
    for (const json& element : *value) RETURN_IF_ERROR(add(element));
  }
  return ints;
}

absl::StatusOr<double> JsonObject::Float(std::string_view key, double low, double high) const {
  const json* const value = node_->Find(key);
  if (value == nullptr) return Missing(key);
  if (!value->is_number()) return WrongType(key, "a number");
  const double number = value->get<double>();
  // Also false for what isn't a number.
  if (!(number >= low && number <= high)) return OutOfRange(NameOf(key), *value, low, high);
  return number;
}

absl::StatusOr<double> JsonObject::FloatOr(std::string_view key, double otherwise, double low,
                                           double high) const {
  if (Has(key)) return Float(key, low, high);
  return otherwise;
}

absl::StatusOr<bool> JsonObject::BoolOr(std::string_view key, bool otherwise) const {
  const json* const value = node_->Find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) return WrongType(key, "true or false");
  return value->get<bool>();
}

absl::StatusOr<std::string> JsonObject::String(std::string_view key) const {
  const json* const value = node_->Find(key);
  if (value == nullptr) return Missing(key);
  if (!value->is_string()) return WrongType(key, "a string");
  return value->get<std::string>();
}

absl::StatusOr<std::string> JsonObject::StringOr(std::string_view key,
                                                 std::string_view otherwise) const {
  if (Has(key)) return String(key);
  return std::string(otherwise);
}

absl::StatusOr<JsonObject> JsonObject::Object(std::string_view key) const {
  const json* const value = node_->Find(key);
  if (value == nullptr) return Missing(key);
  if (!value->is_object()) return WrongType(key, "an object");
  return JsonObject(std::make_shared<const Node>(Node{
      node_->document, value, node_->file, absl::StrCat(node_->prefix, std::string(key), ".")}));
}

absl::StatusOr<std::vector<JsonObject>> JsonObject::Objects(std::string_view key) const {
  const json* const value = node_->Find(key);
  if (value == nullptr) return Missing(key);
  if (!value->is_array()) return WrongType(key, "an array of objects");
  std::vector<JsonObject> objects;
  for (const json& element : *value) {
    if (!element.is_object()) return WrongType(key, "an array of objects");
    objects.push_back(JsonObject(std::make_shared<const Node>(
        Node{node_->document, &element, node_->file,
             absl::StrCat(node_->prefix, std::string(key), "[", objects.size(), "].")})));
  }
  return objects;
}

absl::StatusOr<std::vector<std::string>> JsonObject::Strings(std::string_view key) const {
  const json* const value = node_->Find(key);
  if (value == nullptr) return Missing(key);
  std::vector<std::string> strings;
  if (!value->is_array()) return WrongType(key, "an array of strings");
  for (const json& element : *value) {
    if (!element.is_string()) return WrongType(key, "an array of strings");
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

}  // namespace spillway
