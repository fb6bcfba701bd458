#include "server/dialects/constraint_fields.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json_slices.h"

namespace spillway {
namespace {

using nlohmann::json;
using Kind = OutputConstraint::Kind;

// A schema as an object, or as the text of one.
std::optional<OutputConstraint> SchemaOf(const json& value, std::string_view parent,
                                         const char* name, const std::string& path,
                                         FieldReader& reader) {
  if (value.is_object() || value.is_boolean()) {
    return OutputConstraint{
        .kind = Kind::kJsonSchema, .text = SliceOrDump(parent, name, value), .field = path};
  }
  if (value.is_string()) {
    return OutputConstraint{
        .kind = Kind::kJsonSchema, .text = value.get<std::string>(), .field = path};
  }
  reader.Fail(path, absl::StrCat(path, " must be a JSON Schema, not ", ShowJson(value)));
  return std::nullopt;
}

std::optional<OutputConstraint> TextOf(Kind kind, const json& value, const std::string& path,
                                       FieldReader& reader) {
  if (value.is_string()) {
    return OutputConstraint{.kind = kind, .text = value.get<std::string>(), .field = path};
  }
  reader.Fail(path, absl::StrCat(path, " must be a string, not ", ShowJson(value)));
  return std::nullopt;
}

std::optional<OutputConstraint> ChoiceOf(const json& value, const std::string& path,
                                         FieldReader& reader) {
  OutputConstraint constraint = {.kind = Kind::kChoice, .field = path};
  bool fit = value.is_array() && !value.empty();
  for (size_t i = 0; fit && i < value.size(); ++i) {
    fit = value[i].is_string();
    if (fit) constraint.choices.push_back(value[i].get<std::string>());
  }
  if (fit) return constraint;
  reader.Fail(path, absl::StrCat(path, " must be an array of strings, not ", ShowJson(value)));
  return std::nullopt;
}

std::optional<OutputConstraint> ReadResponseFormat(std::string_view body, const json& format,
                                                   FieldReader& reader) {
  const json type = format.is_object() ? format.value("type", json()) : json();
  if (type == "text") return std::nullopt;
  if (type == "json_object") {
    return OutputConstraint{.kind = Kind::kJsonObject, .field = "response_format"};
  }
  if (type != "json_schema") {
    reader.Fail("response_format",
                absl::StrCat("response_format.type must be \"text\", \"json_object\" or "
                             "\"json_schema\", not ",
                             ShowJson(type)));
    return std::nullopt;
  }
  const auto holder = format.find("json_schema");
  if (holder == format.end() || !holder->is_object() || !holder->contains("schema")) {
    reader.Fail("response_format", "response_format.json_schema.schema is missing");
    return std::nullopt;
  }
  const auto text = JsonMemberValue(body, "response_format");
  const auto holder_text = JsonMemberValue(text.value_or(""), "json_schema");
  return SchemaOf(holder->at("schema"), holder_text.value_or(""), "schema",
                  "response_format.json_schema.schema", reader);
}

// One of vLLM's, `kind` without "guided_".
std::optional<OutputConstraint> ReadNamed(const std::string& kind, const json& value,
                                          std::string_view parent, const char* name,
                                          const std::string& path, FieldReader& reader) {
  if (kind == "json") return SchemaOf(value, parent, name, path, reader);
  if (kind == "regex") return TextOf(Kind::kRegex, value, path, reader);
  if (kind == "choice") return ChoiceOf(value, path, reader);
  if (kind == "grammar") return TextOf(Kind::kGrammar, value, path, reader);
  if (kind == "structural_tag") return TextOf(Kind::kStructuralTag, value, path, reader);
  if (value == true) return OutputConstraint{.kind = Kind::kJsonObject, .field = path};
  if (value != false) reader.Fail(path, absl::StrCat(path, " must be true or false"));
  return std::nullopt;
}

}  // namespace

std::optional<OutputConstraint> ReadConstraint(std::string_view body, FieldReader& reader) {
  std::optional<OutputConstraint> found;
  const auto take = [&](std::optional<OutputConstraint> constraint) {
    if (!constraint) return;
    if (found) {
      reader.Fail(constraint->field,
                  absl::StrCat(constraint->field, " can't be given beside ", found->field));
    }
    found = std::move(constraint);
  };
  if (const json* format = reader.Find("response_format")) {
    take(ReadResponseFormat(body, *format, reader));
  }
  constexpr const char* kKinds[] = {"json",    "regex",          "choice",
                                    "grammar", "structural_tag", "json_object"};
  const json* structured = reader.Find("structured_outputs");
  if (structured != nullptr && !structured->is_object()) {
    reader.Fail("structured_outputs", "structured_outputs must be an object");
    structured = nullptr;
  }
  const std::string_view inner = JsonMemberValue(body, "structured_outputs").value_or("");
  for (const char* kind : kKinds) {
    const std::string guided = absl::StrCat("guided_", kind);
    if (const json* value = reader.Find(guided.c_str())) {
      take(ReadNamed(kind, *value, body, guided.c_str(), guided, reader));
    }
    if (structured == nullptr || !structured->contains(kind)) continue;
    const json& value = structured->at(kind);
    if (value.is_null()) continue;
    take(ReadNamed(kind, value, inner, kind, absl::StrCat("structured_outputs.", kind), reader));
  }
  return found;
}

std::optional<OutputConstraint> ReadOllamaFormat(std::string_view body, FieldReader& reader) {
  const json* format = reader.Find("format");
  if (format == nullptr || *format == "") return std::nullopt;
  if (*format == "json") return OutputConstraint{.kind = Kind::kJsonObject, .field = "format"};
  if (format->is_object()) return SchemaOf(*format, body, "format", "format", reader);
  reader.Fail("format",
              absl::StrCat("format must be \"json\" or a JSON Schema, not ", ShowJson(*format)));
  return std::nullopt;
}

}  // namespace spillway
