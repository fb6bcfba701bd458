#include "server/dialects/dialect_errors.h"

#include "server/dialects/anthropic_error.h"
#include "server/dialects/ollama_error.h"

namespace spillway {

std::vector<PathErrors> DialectErrors() {
  return {{"/api/", FormatOllamaError}, {"/v1/messages", FormatAnthropicError}};
}

}  // namespace spillway
