#include "server/dialects/ollama_error.h"

#include "router/error_table.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/retry_headers.h"

namespace spillway {

std::string OllamaErrorJson(std::string_view message) {
  std::string out = "{\"error\":";
  AppendJsonString(out, message);
  out += '}';
  return out;
}

HttpResponse OllamaErrorResponse(int status, std::string_view message) {
  return {.status = status, .body = OllamaErrorJson(message)};
}

HttpResponse ToOllamaResponse(const GenerateError& error) {
  const ErrorRow& row = FindErrorRow(error.status.code(), error.reason);
  HttpResponse response = OllamaErrorResponse(row.http_status, std::string(error.status.message()));
  AddRetryHeaders(error, response);
  return response;
}

HttpResponse FormatOllamaError(int status, std::string_view /*code*/, std::string_view message) {
  return OllamaErrorResponse(status, message);
}

}  // namespace spillway
