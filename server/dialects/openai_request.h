#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "router/generate_request.h"
#include "server/dialects/openai_error.h"

namespace spillway {

struct OpenAiLimits {
  size_t messages_max = 4096;
  size_t stop_strings_max = 16;  // OpenAI's own limit is 4
  size_t stop_string_bytes_max = 1024;
  size_t stop_token_ids_max = 256;
  size_t logit_bias_max = 1024;
  size_t prompt_token_ids_max = 4u << 20;
  int32_t choices_max = 16;
  size_t prompts_max = 128;  // of /v1/completions
  size_t answers_max = 256;  // prompts times choices
  int32_t new_tokens_max = 1 << 24;
  absl::Duration request_time = absl::Hours(1);
};

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
OpenAiParseResult ParseChatRequest(std::string_view body, const OpenAiLimits& limits);

// POST /v1/completions.
OpenAiParseResult ParseCompletionRequest(std::string_view body, const OpenAiLimits& limits);

}  // namespace spillway
