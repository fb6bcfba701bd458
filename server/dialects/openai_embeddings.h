#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "router/router.h"
#include "server/dialects/dialect_limits.h"
#include "server/dialects/openai_error.h"
#include "server/http/http_types.h"

namespace spillway {

struct OpenAiEmbeddingRequest {
  EmbeddingRequest embed;
  bool base64 = false;                // little-endian floats
  std::optional<int32_t> dimensions;  // that the client wants
};

// POST /v1/embeddings. `input` is a string, an array of strings, of token ids, or of arrays of ids.
std::variant<OpenAiEmbeddingRequest, OpenAiError> ParseEmbeddingRequest(
    std::string_view body, const DialectLimits& limits);

// A vector has the length that its model gives it: other `dimensions` are an error. `model` is as
// the client named it.
HttpResponse OpenAiEmbeddingResponse(const EmbeddingAnswer& answer, std::string_view model,
                                     bool base64, std::optional<int32_t> dimensions);

}  // namespace spillway
