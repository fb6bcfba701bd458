#pragma once

#include <string>
#include <string_view>

#include "router/router.h"
#include "server/http/http_types.h"

namespace spillway {

// {"error":"…"}, which Ollama's clients show as it is.
std::string OllamaErrorJson(std::string_view message);
HttpResponse OllamaErrorResponse(int status, std::string_view message);

// From router/error_table.h, the one table.
HttpResponse ToOllamaResponse(const GenerateError& error);

// An error of the server itself, as RouteTable makes them.
HttpResponse FormatOllamaError(int status, std::string_view code, std::string_view message);

}  // namespace spillway
