#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "router/generate_request.h"
#include "server/dialects/dialect_limits.h"

namespace spillway {

// A request that is unfit: status 400.
struct AnthropicRefusal {
  std::string message;  // begins with the field's name
};

struct AnthropicRequest {
  GenerateRequest generate;
  bool stream = false;
  bool show_thinking = true;
};

using AnthropicParseResult = std::variant<AnthropicRequest, AnthropicRefusal>;

// POST /v1/messages. Unknown fields are ignored, as those without effect here; images, documents,
// tools of the server's own and a last message of the assistant, which would be continued, are
// refused.
AnthropicParseResult ParseAnthropicMessages(std::string_view body, const DialectLimits& limits);

// POST /v1/messages/count_tokens: the same without a length; nothing is to be generated.
AnthropicParseResult ParseAnthropicCount(std::string_view body, const DialectLimits& limits);

}  // namespace spillway
