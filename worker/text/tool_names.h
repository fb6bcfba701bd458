#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spillway {

// The names of the tools in `tools_json`, an array in OpenAI's shape. Those that have none are left
// out.
std::vector<std::string> ToolNames(std::string_view tools_json);

}  // namespace spillway
