#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "router/embedding_request.h"
#include "router/generate_request.h"
#include "server/dialects/dialect_limits.h"

namespace spillway {

// A request that is unfit, as Ollama's clients read it.
struct OllamaRefusal {
  std::string message;  // with status 400
};

struct OllamaRequest {
  GenerateRequest generate;
  bool stream = true;
  bool show_thinking = true;
  // Nothing is asked: the model is to be loaded, or with keep_alive 0 unloaded. Here it is always
  // loaded.
  bool only_load = false;
  bool unload = false;
};

// POST /api/chat and /api/generate. Unknown fields and options are ignored, as Ollama does; what
// would change the answer and isn't supported (images, suffix, …) is refused.
// Options out of our range are brought into it: Ollama takes any.
std::variant<OllamaRequest, OllamaRefusal> ParseOllamaChat(std::string_view body,
                                                           const DialectLimits& limits);
std::variant<OllamaRequest, OllamaRefusal> ParseOllamaGenerate(std::string_view body,
                                                               const DialectLimits& limits);

struct OllamaEmbedding {
  EmbeddingRequest embed;  // without inputs: nothing is asked
  std::optional<int32_t> dimensions;
};

// POST /api/embed, and its forerunner /api/embeddings, which has one `prompt`.
std::variant<OllamaEmbedding, OllamaRefusal> ParseOllamaEmbed(std::string_view body,
                                                              const DialectLimits& limits);
std::variant<OllamaEmbedding, OllamaRefusal> ParseOllamaEmbeddings(std::string_view body,
                                                                   const DialectLimits& limits);

// The `model`, or as older clients call it `name`, of a body that has nothing else for us: POST
// /api/show.
std::variant<std::string, OllamaRefusal> ParseOllamaModel(std::string_view body);

}  // namespace spillway
