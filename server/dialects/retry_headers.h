#pragma once

#include "absl/time/time.h"
#include "router/router.h"
#include "server/http/http_types.h"

namespace spillway {

// When to try again, in the headers that SDKs read; for zero none.
void AddRetryAfter(absl::Duration retry_after, HttpResponse& response);

struct RetryAdvice {
  absl::Duration after = absl::ZeroDuration();  // zero: not said
  bool vain = false;                            // a client shouldn't try by itself
};

// As router/error_table.h has it. Where an answer comes only after minutes or hours (a quota of the
// day), the client is told both: when, and not to wait for it.
RetryAdvice AdviseRetry(const GenerateError& error);

// Says when to try again, or that it is in vain, and PAI-EAS's number for the error. SDKs
// retry 408, 409, 429 and 5xx by themselves unless they are told.
void AddRetryHeaders(const GenerateError& error, HttpResponse& response);

}  // namespace spillway
