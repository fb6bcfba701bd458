#pragma once

#include <optional>
#include <string>

#include "router/generate_request.h"

namespace spillway {

// A request in OpenAI's dialect, of whatever dialect it came in: what goes to a provider instead.
// Its "model" is left for the provider's row to say. Nothing: it has no such form: its prompt
// is a text or tokens, or its output is bound to a grammar.
std::optional<std::string> ChatBodyOf(const GenerateRequest& request, bool stream);

}  // namespace spillway
