#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "router/router.h"
#include "server/http/http_types.h"

namespace spillway {

// An error as OpenAI's clients read it.
struct OpenAiError {
  int status = 400;
  int eas_status = 0;  // PAI-EAS's own number for it; 0: the same
  std::string message;
  std::string type = "invalid_request_error";
  std::optional<std::string> param;
  std::optional<std::string> code;
  absl::Duration retry_after = absl::ZeroDuration();  // zero: no header
  bool retry_is_vain = false;  // x-should-retry: false, which OpenAI's SDKs obey
};

// From router/error_table.h, the one table. `prompt_param` is what the dialect calls the prompt.
OpenAiError ToOpenAiError(const GenerateError& error, std::string_view prompt_param);

// A request that is wrong in itself.
OpenAiError InvalidRequest(std::string message, std::optional<std::string> param = std::nullopt);

// {"error":{…}} with all four keys.
std::string ErrorJson(const OpenAiError& error);

HttpResponse ErrorResponse(const OpenAiError& error);

// An error of the server itself, as RouteTable makes them.
HttpResponse FormatOpenAiError(int status, std::string_view code, std::string_view message);

}  // namespace spillway
