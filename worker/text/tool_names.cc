#include "worker/text/tool_names.h"

#include <nlohmann/json.hpp>

namespace spillway {

std::vector<std::string> ToolNames(std::string_view tools_json) {
  using nlohmann::json;
  std::vector<std::string> names;
  const json tools = json::parse(tools_json, nullptr, /*allow_exceptions=*/false);
  if (!tools.is_array()) return names;
  for (const json& tool : tools) {
    if (!tool.is_object()) continue;
    const auto function = tool.find("function");
    const json& named = function != tool.end() && function->is_object() ? *function : tool;
    const auto name = named.find("name");
    if (name != named.end() && name->is_string()) names.push_back(name->get<std::string>());
  }
  return names;
}

}  // namespace spillway
