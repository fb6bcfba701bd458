#pragma once

#include <cstddef>
#include <string_view>

#include "router/generate_request.h"
#include "server/dialects/json_fields.h"

namespace spillway {

// What a chat's template gets to see: messages, tools, template variables. `reader` reads the
// request whose text is `body`; an error is left in it. What passes through as it came (tools, tool
// calls, variables) keeps its spelling and the order of its keys: docs/decisions/0004.
ChatPrompt ReadChatPrompt(std::string_view body, size_t messages_max, FieldReader& reader);

}  // namespace spillway
