#pragma once

#include <string_view>
#include <variant>
#include <vector>

#include "router/generate_request.h"
#include "server/dialects/dialect_limits.h"
#include "server/dialects/openai_error.h"

namespace spillway {

struct OpenAiRequest {
  GenerateRequest generate;
  std::vector<PromptSource> further_prompts;  // each answered as the one in `generate`
  bool stream = false;
  bool include_usage = false;
  bool include_reasoning = true;  // false: what the model thinks is not shown
};

using OpenAiParseResult = std::variant<OpenAiRequest, OpenAiError>;

// POST /v1/chat/completions. Fields that are unknown, or known and without effect here, are
// ignored; a field that would change the answer and isn't supported is an error that says so.
OpenAiParseResult ParseChatRequest(std::string_view body, const DialectLimits& limits);

// POST /v1/completions.
OpenAiParseResult ParseCompletionRequest(std::string_view body, const DialectLimits& limits);

}  // namespace spillway
