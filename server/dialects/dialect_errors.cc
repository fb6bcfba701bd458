#include "server/dialects/dialect_errors.h"

#include "server/dialects/anthropic_error.h"
#include "server/dialects/ollama_error.h"
#include "server/dialects/openai_error.h"

namespace spillway {

std::vector<PathErrors> DialectErrors() {
  return {{"/api/v1/", FormatOpenAiError},  // PAI-EAS's discovery; Ollama has no such path
          {"/api/predict", FormatOpenAiError},
          {"/api/", FormatOllamaError},
          {"/v1/messages", FormatAnthropicError}};
}

}  // namespace spillway
