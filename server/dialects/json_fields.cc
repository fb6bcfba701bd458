#include "server/dialects/json_fields.h"

#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/json_slices.h"

namespace spillway {

using nlohmann::json;

int JsonDepth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

absl::StatusOr<json> ParseJsonObject(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return absl::InvalidArgumentError("the body is empty; a JSON object is needed");
  }
  if (JsonDepth(text) > kJsonDepthMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body's JSON nests deeper than ", kJsonDepthMax));
  }
  try {
    json parsed = json::parse(text);
    if (!parsed.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the body must be a JSON object, not ", ShowJson(parsed)));
    }
    return parsed;
  } catch (const std::exception& exception) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
    std::string_view what = exception.what();
    if (const size_t end = what.find("] "); end != std::string_view::npos) {
      what.remove_prefix(end + 2);
    }
    return absl::InvalidArgumentError(
        absl::StrCat("the body is not valid JSON: ", std::string(what.substr(0, 200))));
  }
}

const json* FieldReader::Find(const char* name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<bool> FieldReader::Bool(const char* name) {
  const json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    Fail(name, absl::StrCat(name, " must be true or false, not ", ShowJson(*value)));
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<std::string> FieldReader::String(const char* name) {
  const json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    Fail(name, absl::StrCat(name, " must be a string, not ", ShowJson(*value)));
    return std::nullopt;
  }
  return value->get<std::string>();
}

std::optional<double> FieldReader::Number(const char* name, double min, double max) {
  const json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !(value->get<double>() >= min && value->get<double>() <= max)) {
    Fail(name, absl::StrCat(name, " must be a number from ", min, " to ", max, ", not ",
                            ShowJson(*value)));
    return std::nullopt;
  }
  return value->get<double>();
}

std::optional<int64_t> FieldReader::Integer(const char* name, int64_t min, int64_t max) {
  const json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> integer = AsInteger(*value);
  if (!integer || *integer < min || *integer > max) {
    Fail(name, absl::StrCat(name, " must be an integer from ", min, " to ", max, ", not ",
                            ShowJson(*value)));
    return std::nullopt;
  }
  return integer;
}

void FieldReader::Fail(std::string param, std::string message) {
  if (!error_) error_ = FieldError{std::move(param), std::move(message)};
}

std::string ShowJson(const json& value) {
  constexpr size_t kShownMax = 80;
  // Big values are named, not written: a dump of a 32 MiB array to show 80 characters is a waste.
  if (value.is_array()) return absl::StrCat("an array of ", value.size());
  if (value.is_object()) return "an object";
  std::string text = value.is_string() && value.get_ref<const std::string&>().size() > kShownMax
                         ? json(value.get_ref<const std::string&>().substr(0, kShownMax))
                               .dump(-1, ' ', false, json::error_handler_t::replace)
                         : value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text;
}

std::string SliceOrDump(std::string_view text, std::string_view name, const json& value) {
  if (const auto slice = JsonMemberValue(text, name)) return std::string(*slice);
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<int64_t> AsInteger(const json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    // 2^53: beyond it doubles skip integers.
    if (std::nearbyint(number) == number && std::abs(number) <= 9007199254740992.0) {
      return static_cast<int64_t>(number);
    }
  }
  return std::nullopt;
}

}  // namespace spillway
