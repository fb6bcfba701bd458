#pragma once

#include "absl/time/time.h"
#include "router/router.h"
#include "server/http/http_types.h"

namespace spillway {

// When to try again, in the headers that SDKs read; for zero none.
void AddRetryAfter(absl::Duration retry_after, HttpResponse& response);

// Says when to try again, or that it is in vain, as router/error_table.h has it. SDKs retry 408,
// 409, 429 and 5xx by themselves unless they are told.
void AddRetryHeaders(const GenerateError& error, HttpResponse& response);

}  // namespace spillway
