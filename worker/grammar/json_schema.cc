#include "worker/grammar/json_schema.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/grammar/schema_branches.h"

namespace spillway {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kReferencesMax = 32;
// XGrammar 0.2.8: kIntegerMultipleOfMax.
constexpr int64_t kMultipleOfMax = 1024;

// Rule values out, and have no counterpart in a grammar here.
constexpr const char* kUnsupported[] = {
    "not",          "if",           "then",        "else",        "dependentRequired",
    "dependencies", "contains",     "minContains", "maxContains", "dependentSchemas",
    "$dynamicRef",  "$recursiveRef"};

// Rule values out, each for its type.
constexpr const char* kAssertions[] = {"type",
                                       "properties",
                                       "required",
                                       "additionalProperties",
                                       "items",
                                       "prefixItems",
                                       "minItems",
                                       "maxItems",
                                       "pattern",
                                       "format",
                                       "minLength",
                                       "maxLength",
                                       "minimum",
                                       "maximum",
                                       "exclusiveMinimum",
                                       "exclusiveMaximum",
                                       "multipleOf",
                                       "minProperties",
                                       "maxProperties",
                                       "patternProperties",
                                       "propertyNames",
                                       "unevaluatedItems",
                                       "unevaluatedProperties"};

constexpr const char* kFormats[] = {"email",         "date",
                                    "time",          "date-time",
                                    "duration",      "ipv4",
                                    "ipv6",          "hostname",
                                    "uuid",          "uri",
                                    "uri-reference", "uri-template",
                                    "json-pointer",  "relative-json-pointer"};

bool Has(const Json& schema, const char* keyword) { return schema.contains(keyword); }

class Preparation {
 public:
  Preparation(const Json& root, const JsonSchemaLimits& limits) : root_(root), limits_(limits) {}

  absl::Status Prepare(Json& schema, const std::string& path, int depth) {
    if (depth > limits_.depth_max) return Wrong(path, "", "nests too deep");
    if (++schemas_ > limits_.schemas_max) {
      return Wrong("$", "", absl::StrCat("has over ", limits_.schemas_max, " subschemas"));
    }
    if (schema.is_boolean()) {
      return schema.get<bool>() ? absl::OkStatus() : Wrong(path, "", "false lets nothing through");
    }
    if (!schema.is_object()) return Wrong(path, "", "a schema must be an object or a boolean");
    for (const char* keyword : kUnsupported) {
      if (Has(schema, keyword)) return Wrong(path, keyword, "is not supported");
    }
    if (Has(schema, "uniqueItems") && schema["uniqueItems"] != false) {
      return Wrong(path, "uniqueItems", "is not supported");
    }
    RETURN_IF_ERROR(PrepareDefinitions(schema, path, depth));
    for (const char* keyword : {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"}) {
      if (Has(schema, keyword)) return PrepareWhole(schema, keyword, path, depth);
    }
    RETURN_IF_ERROR(CheckType(schema, path));
    RETURN_IF_ERROR(CheckNumbers(schema, path));
    RETURN_IF_ERROR(PrepareStrings(schema, path));
    RETURN_IF_ERROR(PrepareArray(schema, path, depth));
    return PrepareObject(schema, path, depth);
  }

 private:
  static absl::Status Wrong(const std::string& path, const char* keyword, const std::string& what) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", keyword, *keyword == '\0' ? "" : " ", what));
  }

  absl::Status PrepareEach(Json& schemas, const std::string& path, int depth) {
    if (!schemas.is_structured()) return Wrong(path, "", "must hold schemas");
    for (auto& [key, schema] : schemas.items()) {
      RETURN_IF_ERROR(Prepare(schema, absl::StrCat(path, ".", key), depth + 1));
    }
    return absl::OkStatus();
  }

  absl::Status PrepareDefinitions(Json& schema, const std::string& path, int depth) {
    for (const char* keyword : {"$defs", "definitions"}) {
      if (!Has(schema, keyword)) continue;
      RETURN_IF_ERROR(PrepareEach(schema[keyword], absl::StrCat(path, ".", keyword), depth));
    }
    return absl::OkStatus();
  }

  // With one of these the converter looks at nothing else.
  absl::Status PrepareWhole(Json& schema, const char* keyword, const std::string& path, int depth) {
    Json& value = schema[keyword];
    const bool lists = std::string_view(keyword) == "const" || std::string_view(keyword) == "enum";
    for (const char* other : {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"}) {
      if (std::string_view(other) != keyword && Has(schema, other)) {
        return Wrong(path, other, absl::StrCat("is not supported beside ", keyword));
      }
    }
    for (const char* other : kAssertions) {
      if (!Has(schema, other)) continue;
      if (!lists || std::string_view(other) != "type") {
        return Wrong(path, other, absl::StrCat("is not supported beside ", keyword));
      }
    }
    if (lists) return CheckListed(schema, keyword, path);
    if (std::string_view(keyword) == "$ref") return CheckReference(value, path);
    if (!value.is_array() || value.empty()) return Wrong(path, keyword, "must be an array");
    if (std::string_view(keyword) == "allOf" && value.size() > 1) {
      return Wrong(path, keyword, "is supported with one schema only");
    }
    if (std::string_view(keyword) == "oneOf") {
      if (!AreDisjoint(value, root_)) {
        return Wrong(path, keyword,
                     "is supported where types or constants tell its schemas apart; anyOf may do");
      }
      // No value fits two, so one is any.
      Json branches = std::move(value);
      schema.erase(keyword);
      schema["anyOf"] = std::move(branches);
      return PrepareEach(schema["anyOf"], absl::StrCat(path, ".", keyword), depth);
    }
    return PrepareEach(value, absl::StrCat(path, ".", keyword), depth);
  }

  absl::Status CheckListed(Json& schema, const char* keyword, const std::string& path) {
    if (std::string_view(keyword) == "enum" &&
        (!schema["enum"].is_array() || schema["enum"].empty())) {
      return Wrong(path, keyword, "must be an array of values");
    }
    if (!Has(schema, "type")) return absl::OkStatus();
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    const auto fits = [&types](const Json& value) {
      return std::any_of(types.begin(), types.end(), [&value](const Json& type) {
        if (value.is_number_integer() && type == "integer") return true;
        return type == (value.is_number() ? "number" : value.type_name());
      });
    };
    const Json values =
        std::string_view(keyword) == "enum" ? schema["enum"] : Json::array({schema["const"]});
    if (!std::all_of(values.begin(), values.end(), fits)) {
      return Wrong(path, keyword, "has values that are not of the type");
    }
    return absl::OkStatus();
  }

  absl::Status CheckReference(const Json& reference, const std::string& path) {
    const Json* at = nullptr;
    std::string text = reference.is_string() ? reference.get<std::string>() : reference.dump();
    for (int i = 0; i < kReferencesMax; ++i) {
      at = ResolveReference(root_, text);
      if (at == nullptr || !at->is_object() || !at->contains("$ref")) break;
      if (!(*at)["$ref"].is_string()) break;
      text = (*at)["$ref"].get<std::string>();
    }
    if (at != nullptr && !(at->is_object() && at->contains("$ref"))) return absl::OkStatus();
    return Wrong(path, "$ref", absl::StrCat(reference.dump(), " leads to no schema in this one"));
  }

  absl::Status CheckType(const Json& schema, const std::string& path) {
    if (Has(schema, "type")) {
      const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
      for (const Json& type : types) {
        if (type == "string" || type == "integer" || type == "number" || type == "boolean" ||
            type == "null" || type == "array" || type == "object") {
          continue;
        }
        return Wrong(path, "type", absl::StrCat("is ", type.dump()));
      }
      return absl::OkStatus();
    }
    if (Has(schema, "properties") || Has(schema, "additionalProperties") || Has(schema, "items") ||
        Has(schema, "prefixItems")) {
      return absl::OkStatus();
    }
    for (const char* keyword : kAssertions) {
      if (Has(schema, keyword)) return Wrong(path, keyword, "needs a type beside it");
    }
    return absl::OkStatus();
  }

  static bool IsOfType(const Json& schema, const char* type) {
    if (!Has(schema, "type")) return false;
    const Json& types = schema["type"];
    return types == type ||
           (types.is_array() && std::find(types.begin(), types.end(), type) != types.end());
  }

  absl::Status CheckNumbers(const Json& schema, const std::string& path) {
    for (const char* keyword : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
      if (Has(schema, keyword) && !schema[keyword].is_number()) {
        return Wrong(path, keyword, "must be a number");
      }
    }
    if (!Has(schema, "multipleOf")) return absl::OkStatus();
    const Json& multiple = schema["multipleOf"];
    if (IsOfType(schema, "number") || !multiple.is_number_integer() ||
        multiple.get<int64_t>() < 1 || multiple.get<int64_t>() > kMultipleOfMax) {
      return Wrong(path, "multipleOf",
                   absl::StrCat("is supported for integers, from 1 to ", kMultipleOfMax));
    }
    return absl::OkStatus();
  }

  absl::Status CheckCount(const Json& schema, const char* keyword, const std::string& path) {
    if (!Has(schema, keyword)) return absl::OkStatus();
    const Json& value = schema[keyword];
    if (value.is_number_integer() && value.get<int64_t>() >= 0 &&
        value.get<int64_t>() <= limits_.repetitions_max) {
      return absl::OkStatus();
    }
    return Wrong(path, keyword,
                 absl::StrCat("must be an integer from 0 to ", limits_.repetitions_max));
  }

  absl::Status PrepareStrings(Json& schema, const std::string& path) {
    RETURN_IF_ERROR(CheckCount(schema, "minLength", path));
    RETURN_IF_ERROR(CheckCount(schema, "maxLength", path));
    for (const char* keyword : {"pattern", "format"}) {
      if (!Has(schema, keyword)) continue;
      if (!schema[keyword].is_string()) return Wrong(path, keyword, "must be a string");
      if (Has(schema, "minLength") || Has(schema, "maxLength")) {
        return Wrong(path, keyword, "is not supported beside minLength and maxLength");
      }
    }
    if (Has(schema, "minLength") || Has(schema, "maxLength")) {
      // The converter's own way lets control characters into the string, which is no JSON then.
      const int64_t least = schema.value("minLength", int64_t{0});
      const bool bounded = Has(schema, "maxLength");
      if (bounded && schema["maxLength"].get<int64_t>() < least) {
        return Wrong(path, "maxLength", "is less than minLength");
      }
      schema["pattern"] =
          absl::StrCat("^[^\"\\\\\\x00-\\x1f]{", least, ",",
                       bounded ? absl::StrCat(schema["maxLength"].get<int64_t>()) : "", "}$");
      schema.erase("minLength");
      schema.erase("maxLength");
    }
    if (!Has(schema, "format")) return absl::OkStatus();
    if (Has(schema, "pattern")) return Wrong(path, "format", "is not supported beside pattern");
    const auto known = [&](const char* format) { return schema["format"] == format; };
    if (std::any_of(std::begin(kFormats), std::end(kFormats), known)) return absl::OkStatus();
    return Wrong(path, "format", absl::StrCat(schema["format"].dump(), " is not supported"));
  }

  absl::Status PrepareArray(Json& schema, const std::string& path, int depth) {
    RETURN_IF_ERROR(CheckCount(schema, "minItems", path));
    RETURN_IF_ERROR(CheckCount(schema, "maxItems", path));
    if (Has(schema, "unevaluatedItems")) {
      return Wrong(path, "unevaluatedItems", "is not supported");
    }
    if (Has(schema, "prefixItems")) {
      if (!schema["prefixItems"].is_array()) return Wrong(path, "prefixItems", "must be an array");
      RETURN_IF_ERROR(PrepareEach(schema["prefixItems"], path + ".prefixItems", depth));
    }
    if (!Has(schema, "items") || schema["items"].is_boolean()) return absl::OkStatus();
    return Prepare(schema["items"], path + ".items", depth + 1);
  }

  absl::Status PrepareObject(Json& schema, const std::string& path, int depth) {
    if (Has(schema, "unevaluatedProperties")) {
      return Wrong(path, "unevaluatedProperties", "is not supported");
    }
    for (const char* keyword : {"patternProperties", "propertyNames"}) {
      if (!Has(schema, keyword)) continue;
      if (Has(schema, "properties") || Has(schema, "required")) {
        return Wrong(path, keyword, "is not supported beside properties and required");
      }
    }
    if (Has(schema, "patternProperties")) {
      RETURN_IF_ERROR(PrepareEach(schema["patternProperties"], path + ".patternProperties", depth));
    }
    if (Has(schema, "propertyNames")) {
      RETURN_IF_ERROR(Prepare(schema["propertyNames"], path + ".propertyNames", depth + 1));
    }
    if (Has(schema, "additionalProperties") && !schema["additionalProperties"].is_boolean()) {
      RETURN_IF_ERROR(
          Prepare(schema["additionalProperties"], path + ".additionalProperties", depth + 1));
    }
    if (Has(schema, "properties")) {
      if (!schema["properties"].is_object()) {
        return Wrong(path, "properties", "must be an object");
      }
      RETURN_IF_ERROR(PrepareEach(schema["properties"], path + ".properties", depth));
    }
    return CompleteProperties(schema, path);
  }

  absl::Status CompleteProperties(Json& schema, const std::string& path) {
    const bool open =
        Has(schema, "additionalProperties") && schema["additionalProperties"] != false;
    if (Has(schema, "required")) {
      if (!schema["required"].is_array()) return Wrong(path, "required", "must be an array");
      for (const Json& name : schema["required"]) {
        if (!name.is_string()) return Wrong(path, "required", "must hold names");
        const auto& key = name.get_ref<const std::string&>();
        if (Has(schema, "properties") && schema["properties"].contains(key)) continue;
        if (Has(schema, "additionalProperties") && !open) {
          return Wrong(path, "required",
                       absl::StrCat("has ", name.dump(), ", which additionalProperties forbids"));
        }
        schema["properties"][key] = open ? schema["additionalProperties"] : Json(Json::object());
      }
    }
    if (Has(schema, "properties") && !Has(schema, "additionalProperties")) {
      schema["additionalProperties"] = false;
    }
    return absl::OkStatus();
  }

  const Json& root_;
  const JsonSchemaLimits& limits_;
  int schemas_ = 0;
};

// Brackets alone: what nests too deep is not given to a parser that recurses.
int BracketDepth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  for (const char byte : text) {
    if (byte == '{' || byte == '[') deepest = std::max(deepest, ++depth);
    if (byte == '}' || byte == ']') --depth;
  }
  return deepest;
}

}  // namespace

absl::StatusOr<std::string> PrepareJsonSchema(std::string_view schema,
                                              const JsonSchemaLimits& limits) {
  if (schema.size() > limits.bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", schema.size(), " bytes, at most ", limits.bytes_max));
  }
  if (BracketDepth(schema) > 4 * limits.depth_max) {
    return absl::InvalidArgumentError("nests too deep");
  }
  Json prepared = Json::parse(schema, nullptr, /*allow_exceptions=*/false);
  if (prepared.is_discarded()) return absl::InvalidArgumentError("is not JSON");
  const Json root = prepared;
  RETURN_IF_ERROR(Preparation(root, limits).Prepare(prepared, "$", 0));
  return prepared.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace spillway
