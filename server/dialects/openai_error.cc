#include "server/dialects/openai_error.h"

#include "router/error_table.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/retry_headers.h"

namespace spillway {
namespace {

void AppendNullable(std::string& out, const std::optional<std::string>& text) {
  if (text) {
    AppendJsonString(out, *text);
  } else {
    out += "null";
  }
}

}  // namespace

OpenAiError ToOpenAiError(const GenerateError& error, std::string_view prompt_param) {
  const ErrorRow& row = FindErrorRow(error.status.code(), error.reason);
  OpenAiError out;
  out.status = row.http_status;
  out.eas_status = row.eas_http_status;
  out.message = std::string(error.status.message());
  out.type = row.openai_type;
  if (!row.openai_code.empty()) out.code = row.openai_code;
  if (row.openai_code == "model_not_found") out.param = "model";
  if (!error.field.empty()) out.param = error.field;
  if (error.field == "prompt" || row.openai_code == "context_length_exceeded") {
    out.param = prompt_param;
  }
  const RetryAdvice advice = AdviseRetry(error);
  out.retry_after = advice.after;
  out.retry_is_vain = advice.vain;
  return out;
}

OpenAiError InvalidRequest(std::string message, std::optional<std::string> param) {
  OpenAiError error;
  error.message = std::move(message);
  error.param = std::move(param);
  return error;
}

std::string ErrorJson(const OpenAiError& error) {
  std::string out = "{\"error\":{\"message\":";
  AppendJsonString(out, error.message);
  out += ",\"type\":";
  AppendJsonString(out, error.type);
  out += ",\"param\":";
  AppendNullable(out, error.param);
  out += ",\"code\":";
  AppendNullable(out, error.code);
  out += "}}";
  return out;
}

HttpResponse ErrorResponse(const OpenAiError& error) {
  HttpResponse response;
  response.status = error.status;
  response.eas_status = error.eas_status;
  response.body = ErrorJson(error);
  AddRetryAfter(error.retry_after, response);
  // The SDKs don't retry other statuses by themselves.
  if (error.retry_is_vain && (error.status == 429 || error.status >= 500)) {
    response.headers.push_back({"x-should-retry", "false"});
  }
  return response;
}

HttpResponse FormatOpenAiError(int status, std::string_view code, std::string_view message) {
  OpenAiError error;
  error.status = status;
  error.message = message;
  error.code = code;
  if (status >= 500) error.type = "server_error";
  return ErrorResponse(error);
}

}  // namespace spillway
