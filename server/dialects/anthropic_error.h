#pragma once

#include <string>
#include <string_view>

#include "router/router.h"
#include "server/http/http_types.h"

namespace spillway {

// {"type":"error","error":{"type":…,"message":…}}, the type by the status.
std::string AnthropicErrorJson(int status, std::string_view message);

// From router/error_table.h, the one table.
int AnthropicStatus(const GenerateError& error);
HttpResponse ToAnthropicResponse(const GenerateError& error);

// An error of the server itself, as RouteTable makes them; and of a request that is unfit.
HttpResponse FormatAnthropicError(int status, std::string_view code, std::string_view message);

}  // namespace spillway
