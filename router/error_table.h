#pragma once

#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace spillway {

// The one table from what went wrong to what each protocol says and whether it is tried again.
// gRPC says `code` itself. docs/architecture.md shows it; tests/router/error_table_test.cc walks
// it.
struct ErrorRow {
  absl::StatusCode code;
  std::string_view reason;       // a fixed word; "" is the row for every other reason of the code
  int http_status;               // 499: nobody is there to read it
  int eas_http_status;           // where PAI-EAS has its own
  std::string_view openai_type;  // error.type
  std::string_view openai_code;  // error.code; "" stands for null
  bool client_may_retry;         // false: the same request will fail again
  bool another_replica;          // the router itself tries elsewhere before it gives up
  absl::Duration retry_after;    // said when the error itself knows no better; zero: not said
};

// All rows; those with a reason stand before their code's row without one.
std::span<const ErrorRow> ErrorTable();

// The row of `code` and `reason`, or the code's general row. Never fails: an OK or unknown code has
// the row of INTERNAL.
const ErrorRow& FindErrorRow(absl::StatusCode code, std::string_view reason);

// `reason` if the table knows it, else the word for `code`: what peers call things never becomes a
// metric label. What it returns lives for ever.
std::string_view KnownReason(absl::StatusCode code, std::string_view reason);

}  // namespace spillway
