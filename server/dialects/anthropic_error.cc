#include "server/dialects/anthropic_error.h"

#include "router/error_table.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/retry_headers.h"

namespace spillway {
namespace {

std::string_view ErrorType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

std::string AnthropicErrorJson(int status, std::string_view message) {
  std::string out = "{\"type\":\"error\",\"error\":{\"type\":\"";
  out += ErrorType(status);
  out += "\",\"message\":";
  AppendJsonString(out, message);
  out += "}}";
  return out;
}

int AnthropicStatus(const GenerateError& error) {
  return FindErrorRow(error.status.code(), error.reason).http_status;
}

HttpResponse ToAnthropicResponse(const GenerateError& error) {
  const int status = AnthropicStatus(error);
  HttpResponse response = {.status = status,
                           .body = AnthropicErrorJson(status, std::string(error.status.message()))};
  AddRetryHeaders(error, response);
  return response;
}

HttpResponse FormatAnthropicError(int status, std::string_view /*code*/, std::string_view message) {
  return {.status = status, .body = AnthropicErrorJson(status, message)};
}

}  // namespace spillway
