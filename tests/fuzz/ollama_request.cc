// POST bodies of Ollama's API, as strangers may send them. Whatever parses must keep the promises
// that the router relies on.
#include "server/dialects/ollama_request.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "common/check.h"
#include "nlohmann/json.hpp"

namespace {

void CheckGenerate(const std::variant<spillway::OllamaRequest, spillway::OllamaRefusal>& result) {
  if (const auto* refusal = std::get_if<spillway::OllamaRefusal>(&result)) {
    CHECK(!refusal->message.empty());
    return;
  }
  const spillway::GenerateRequest& request = std::get<spillway::OllamaRequest>(result).generate;
  CHECK(!request.model.empty());
  CHECK(request.choices == 1);
  CHECK(request.new_tokens_max >= 0);
  // Within what workers take, whatever was asked.
  const spillway::SamplingOptions& sampling = request.sampling;
  CHECK(sampling.temperature.value_or(1) >= 0 && sampling.temperature.value_or(1) <= 100);
  CHECK(sampling.top_p.value_or(1) > 0 && sampling.top_p.value_or(1) <= 1);
  CHECK(sampling.min_p.value_or(0) >= 0 && sampling.min_p.value_or(0) < 1);
  CHECK(sampling.top_k.value_or(0) >= 0);
  CHECK(sampling.repetition_penalty.value_or(1) >= 0.01f);
  CHECK(sampling.presence_penalty >= -2 && sampling.presence_penalty <= 2);
  CHECK(sampling.frequency_penalty >= -2 && sampling.frequency_penalty <= 2);
  for (const std::string& stop : request.stop_strings) CHECK(!stop.empty());
  const auto* chat = std::get_if<spillway::ChatPrompt>(&request.prompt);
  if (chat == nullptr) return;
  CHECK(nlohmann::json::parse(chat->messages_json).is_array());
  CHECK(chat->template_kwargs_json.empty() ||
        nlohmann::json::parse(chat->template_kwargs_json).is_object());
}

void CheckEmbed(const std::variant<spillway::OllamaEmbedding, spillway::OllamaRefusal>& result) {
  const auto* embedding = std::get_if<spillway::OllamaEmbedding>(&result);
  if (embedding == nullptr) return;
  CHECK(!embedding->embed.model.empty());
  CHECK(embedding->embed.inputs.size() <= spillway::DialectLimits().embedding_inputs_max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const spillway::DialectLimits limits;
  CheckGenerate(spillway::ParseOllamaChat(body, limits));
  CheckGenerate(spillway::ParseOllamaGenerate(body, limits));
  CheckEmbed(spillway::ParseOllamaEmbed(body, limits));
  CheckEmbed(spillway::ParseOllamaEmbeddings(body, limits));
  const auto model = spillway::ParseOllamaModel(body);
  CHECK(model.index() == 1 || !std::get<std::string>(model).empty());
  return 0;
}
