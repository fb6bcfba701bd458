// POST bodies of OpenAI's chat, completions and embeddings, as strangers may send them. Whatever
// parses must keep the promises that the router relies on.
#include "server/dialects/openai_request.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "common/check.h"
#include "nlohmann/json.hpp"
#include "server/dialects/json_escape.h"
#include "server/dialects/json_fields.h"
#include "server/dialects/openai_embeddings.h"
#include "server/dialects/openai_error.h"

namespace {

void CheckResult(const spillway::OpenAiParseResult& result) {
  const spillway::DialectLimits limits;
  if (const auto* error = std::get_if<spillway::OpenAiError>(&result)) {
    CHECK(error->status == 400);
    CHECK(!error->message.empty());
    // The error's JSON must be valid whatever it quotes.
    CHECK(spillway::JsonDepth(spillway::ErrorJson(*error)) == 2);
    return;
  }
  const spillway::GenerateRequest& request = std::get<spillway::OpenAiRequest>(result).generate;
  CHECK(request.choices >= 1 && request.choices <= limits.choices_max);
  CHECK(request.new_tokens_max >= 0);
  // What the client left open is the model's to say.
  const spillway::SamplingOptions& sampling = request.sampling;
  CHECK(sampling.temperature.value_or(1) >= 0 && sampling.temperature.value_or(1) <= 2);
  CHECK(sampling.top_p.value_or(1) > 0 && sampling.top_p.value_or(1) <= 1);
  CHECK(sampling.min_p.value_or(0) >= 0 && sampling.min_p.value_or(0) < 1);
  CHECK(sampling.top_k.value_or(0) >= 0);
  CHECK(sampling.repetition_penalty.value_or(1) > 0);
  CHECK(request.stop_strings.size() <= limits.stop_strings_max);
  for (const std::string& stop : request.stop_strings) CHECK(!stop.empty());
  const auto* chat = std::get_if<spillway::ChatPrompt>(&request.prompt);
  if (chat == nullptr) return;
  // What is cut out of the body is whole.
  CHECK(nlohmann::json::parse(chat->messages_json).is_array());
  CHECK(chat->tools_json.empty() || nlohmann::json::parse(chat->tools_json).is_array());
  CHECK(chat->template_kwargs_json.empty() ||
        nlohmann::json::parse(chat->template_kwargs_json).is_object());
}

void CheckEmbedding(
    const std::variant<spillway::OpenAiEmbeddingRequest, spillway::OpenAiError>& result) {
  if (const auto* error = std::get_if<spillway::OpenAiError>(&result)) {
    CHECK(error->status == 400 && !error->message.empty());
    CHECK(spillway::JsonDepth(spillway::ErrorJson(*error)) == 2);
    return;
  }
  const auto& request = std::get<spillway::OpenAiEmbeddingRequest>(result);
  CHECK(!request.embed.inputs.empty());
  CHECK(request.embed.inputs.size() <= spillway::DialectLimits().embedding_inputs_max);
  CHECK(request.dimensions.value_or(1) > 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  CheckResult(spillway::ParseChatRequest(body, spillway::DialectLimits()));
  CheckResult(spillway::ParseCompletionRequest(body, spillway::DialectLimits()));
  CheckEmbedding(spillway::ParseEmbeddingRequest(body, spillway::DialectLimits()));
  std::string escaped;
  spillway::AppendJsonString(escaped, body);
  CHECK(escaped.size() >= 2 + size / 4);
  return 0;
}
