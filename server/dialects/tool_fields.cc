#include "server/dialects/tool_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

using nlohmann::json;

constexpr size_t kToolsMax = 1024;
constexpr size_t kNameBytesMax = 256;

// The tool's name. Nothing, with an error in `reader`: it is unfit.
std::optional<std::string> ToolName(const json& tool, const std::string& path,
                                    FieldReader& reader) {
  if (!tool.is_object()) {
    reader.Fail(path, absl::StrCat(path, " must be an object, not ", ShowJson(tool)));
    return std::nullopt;
  }
  if (const json type = tool.value("type", json("function")); type != "function") {
    reader.Fail(path + ".type", absl::StrCat(path, ".type is ", ShowJson(type),
                                             "; this server takes only \"function\""));
    return std::nullopt;
  }
  const auto function = tool.find("function");
  if (function == tool.end() || !function->is_object()) {
    reader.Fail(path + ".function", absl::StrCat(path, ".function must be an object"));
    return std::nullopt;
  }
  const auto name = function->find("name");
  if (name == function->end() || !name->is_string() ||
      name->get_ref<const std::string&>().empty() ||
      name->get_ref<const std::string&>().size() > kNameBytesMax) {
    reader.Fail(
        path + ".function.name",
        absl::StrCat(path, ".function.name must be a string of 1 to ", kNameBytesMax, " bytes"));
    return std::nullopt;
  }
  const json parameters = function->value("parameters", json());
  if (!parameters.is_null() && !parameters.is_object()) {
    reader.Fail(path + ".function.parameters",
                absl::StrCat(path, ".function.parameters must be a JSON Schema, an object, not ",
                             ShowJson(parameters)));
    return std::nullopt;
  }
  return name->get<std::string>();
}

// False, with an error in `reader`: it is unfit.
bool ReadChoice(const json& choice, ToolUse& use, FieldReader& reader) {
  if (choice == "auto" || choice == "none") return true;
  if (choice == "required") {
    use.choice = ToolUse::Choice::kRequired;
    return true;
  }
  const json function = choice.is_object() ? choice.value("function", json()) : json();
  const json name = function.is_object() ? function.value("name", json()) : json();
  if (!name.is_string()) {
    reader.Fail("tool_choice",
                absl::StrCat("tool_choice must be \"auto\", \"none\", \"required\" or "
                             "{\"type\":\"function\",\"function\":{\"name\":…}}, not ",
                             ShowJson(choice)));
    return false;
  }
  use.choice = ToolUse::Choice::kNamed;
  use.name = name.get<std::string>();
  return true;
}

}  // namespace

ToolFields ReadTools(std::string_view body, FieldReader& reader) {
  if (const json* functions = reader.Find("functions"); functions && !functions->empty()) {
    reader.Fail("functions", "functions: not supported; it was replaced by tools");
  }
  const bool parallel = reader.Bool("parallel_tool_calls").value_or(true);
  const json* tools = reader.Find("tools");
  const json* choice = reader.Find("tool_choice");
  if (tools != nullptr && (!tools->is_array() || tools->size() > kToolsMax)) {
    reader.Fail("tools", absl::StrCat("tools must be an array of at most ", kToolsMax,
                                      " tools, not ", ShowJson(*tools)));
    return {};
  }
  ToolUse use = {.one_call = !parallel};
  if (choice != nullptr && !ReadChoice(*choice, use, reader)) return {};
  if (tools == nullptr || tools->empty()) {
    if (use.choice != ToolUse::Choice::kAuto) {
      reader.Fail("tool_choice", "tool_choice needs tools beside it");
    }
    return {};
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < tools->size(); ++i) {
    std::optional<std::string> name = ToolName((*tools)[i], absl::StrCat("tools[", i, "]"), reader);
    if (!name) return {};
    names.push_back(*std::move(name));
  }
  if (choice != nullptr && *choice == "none") return {};
  if (use.choice == ToolUse::Choice::kNamed &&
      std::find(names.begin(), names.end(), use.name) == names.end()) {
    reader.Fail("tool_choice",
                absl::StrCat("tool_choice names \"", use.name, "\", which is none of the tools"));
    return {};
  }
  return {.tools_json = SliceOrDump(body, "tools", *tools), .tool_use = std::move(use)};
}

}  // namespace spillway
