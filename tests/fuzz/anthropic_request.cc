// POST bodies of Anthropic's API, as strangers may send them. Whatever parses must keep the
// promises that the router relies on.
#include "server/dialects/anthropic_request.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "common/check.h"
#include "nlohmann/json.hpp"

namespace {

void CheckResult(const spillway::AnthropicParseResult& result) {
  if (const auto* refusal = std::get_if<spillway::AnthropicRefusal>(&result)) {
    CHECK(!refusal->message.empty());
    return;
  }
  const spillway::GenerateRequest& request = std::get<spillway::AnthropicRequest>(result).generate;
  CHECK(request.choices == 1);
  CHECK(request.prompt_only != (request.new_tokens_max > 0));
  CHECK(request.sampling.temperature.value_or(1) >= 0);
  CHECK(request.sampling.top_p.value_or(1) > 0 && request.sampling.top_p.value_or(1) <= 1);
  CHECK(request.sampling.top_k.value_or(0) >= 0);
  for (const std::string& stop : request.stop_strings) CHECK(!stop.empty());
  const auto& chat = std::get<spillway::ChatPrompt>(request.prompt);
  const nlohmann::json messages = nlohmann::json::parse(chat.messages_json);
  CHECK(messages.is_array() && !messages.empty());
  CHECK(chat.template_kwargs_json.empty() ||
        nlohmann::json::parse(chat.template_kwargs_json).is_object());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const spillway::DialectLimits limits;
  CheckResult(spillway::ParseAnthropicMessages(body, limits));
  CheckResult(spillway::ParseAnthropicCount(body, limits));
  return 0;
}
