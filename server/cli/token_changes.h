#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/store.h"
#include "server/cli/command_line.h"

namespace spillway {

// "30d", "12h", "15m", "90s", "0": how people write times. INVALID_ARGUMENT: it is none, or is
// negative or beyond ten years.
absl::StatusOr<absl::Duration> ParseSpan(const std::string& text);

// Does to `token` what was asked for. INVALID_ARGUMENT names what is wrong; `token` is then as it
// was, or half changed: don't store it.
absl::Status ApplyChange(const TokenChange& change, absl::Time now, TokenRecord& token);

}  // namespace spillway
