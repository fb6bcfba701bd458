#include "worker/grammar/tool_grammar.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

using Json = nlohmann::ordered_json;

// How a call is written around its arguments, and between two.
struct Shape {
  std::string before_name;
  std::string before_arguments;
  std::string behind;
  std::string separator;
  bool in_array = false;  // several are in brackets
};

Shape ShapeOf(const ToolCallFormat& format) {
  if (format.name == "hermes") {
    return {.before_name = "<tool_call>\n{\"name\": ",
            .before_arguments = ", \"arguments\": ",
            .behind = "}\n</tool_call>",
            .separator = "\n"};
  }
  if (format.name == "llama3_json") {
    return {.before_name = "{\"name\": ",
            .before_arguments = ", \"parameters\": ",
            .behind = "}",
            .separator = "; "};
  }
  return {.before_name = "{\"name\": ",
          .before_arguments = ", \"arguments\": ",
          .behind = "}",
          .separator = ", ",
          .in_array = true};
}

bool IsWrittenNatively(const ToolCallFormat& format) {
  return format.name == "hermes" || format.name == "llama3_json";
}

absl::StatusOr<Json> ParametersOf(const Json& function, const std::string& name,
                                  const JsonSchemaLimits& limits) {
  const Json any = {{"type", "object"}, {"additionalProperties", true}};
  if (!function.contains("parameters") || function["parameters"].empty()) return any;
  const auto prepared = PrepareJsonSchema(function["parameters"].dump(), limits);
  if (prepared.ok()) return Json::parse(*prepared);
  if (!function.contains("strict") || function["strict"] != true) return any;
  return absl::InvalidArgumentError(
      absl::StrCat("the parameters of \"", name, "\": ", std::string(prepared.status().message())));
}

}  // namespace

absl::StatusOr<ToolGrammar> MakeToolGrammar(std::string_view tools_json,
                                            const ToolCallFormat& format, std::string_view name,
                                            bool one_call, const JsonSchemaLimits& limits) {
  const Shape shape = ShapeOf(format);
  const Json tools = Json::parse(tools_json, nullptr, /*allow_exceptions=*/false);
  Json tags = Json::array();
  if (tools.is_array()) {
    for (const Json& tool : tools) {
      if (!tool.is_object() || !tool.contains("function")) continue;
      const Json& function = tool["function"];
      if (!function.is_object() || !function.contains("name") || !function["name"].is_string()) {
        continue;
      }
      const auto& own_name = function["name"].get_ref<const std::string&>();
      if (!name.empty() && own_name != name) continue;
      ASSIGN_OR_RETURN(Json parameters, ParametersOf(function, own_name, limits));
      tags.push_back(
          {{"type", "tag"},
           {"begin", shape.before_name + function["name"].dump() + shape.before_arguments},
           {"content", {{"type", "json_schema"}, {"json_schema", std::move(parameters)}}},
           {"end", shape.behind}});
    }
  }
  if (tags.empty()) {
    return absl::InvalidArgumentError(
        name.empty() ? "there are no tools"
                     : absl::StrCat("there is no tool \"", std::string(name), "\""));
  }
  Json calls;
  if (!name.empty() || one_call) {
    calls = tags.size() == 1 ? tags[0] : Json{{"type", "or"}, {"elements", std::move(tags)}};
  } else {
    calls = {{"type", "tags_with_separator"},
             {"tags", std::move(tags)},
             {"separator", shape.separator},
             {"at_least_one", true}};
    if (shape.in_array) {
      const auto text = [](const char* value) {
        return Json{{"type", "const_string"}, {"value", value}};
      };
      calls = {{"type", "sequence"}, {"elements", {text("["), std::move(calls), text("]")}}};
    }
  }
  const Json tag = {{"type", "structural_tag"}, {"format", std::move(calls)}};
  return ToolGrammar{.source = {.kind = GrammarSource::Kind::kStructuralTag, .text = tag.dump()},
                     .format = IsWrittenNatively(format) ? &format : &FindToolCallFormat("")};
}

}  // namespace spillway
