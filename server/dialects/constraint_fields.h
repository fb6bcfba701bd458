#pragma once

#include <optional>
#include <string_view>

#include "router/generate_request.h"
#include "server/dialects/json_fields.h"

namespace spillway {

// What the answer must be, as OpenAI's clients ask for it: `response_format`; and as vLLM's do:
// `structured_outputs`, or its older guided_json, guided_regex, guided_choice and guided_grammar.
// `body` is the request's text. More than one of them, or one that is unfit, is left in `reader`.
std::optional<OutputConstraint> ReadConstraint(std::string_view body, FieldReader& reader);

// Ollama's `format`: "json", or a JSON Schema.
std::optional<OutputConstraint> ReadOllamaFormat(std::string_view body, FieldReader& reader);

}  // namespace spillway
