#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/store.h"
#include "server/cli/command_line.h"

namespace spillway {

// Runs `spillway usage` on the store; what to print on success.
absl::StatusOr<std::string> RunUsage(const UsageCommand& command, const Store& store,
                                     absl::Time now);

}  // namespace spillway
