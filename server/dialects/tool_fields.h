#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "router/generate_request.h"
#include "server/dialects/json_fields.h"

namespace spillway {

struct ToolFields {
  std::string tools_json;           // as the request has them; empty: the model is shown none
  std::optional<ToolUse> tool_use;  // none likewise
};

// `tools`, `tool_choice` and `parallel_tool_calls` of a chat, in OpenAI's shape. `body` is the
// request's text. What is unfit is left in `reader`.
ToolFields ReadTools(std::string_view body, FieldReader& reader);

}  // namespace spillway
