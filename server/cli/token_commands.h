#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/store.h"
#include "server/cli/command_line.h"

namespace spillway {

// Runs `spillway token …` on the store; what to print on success.
absl::StatusOr<std::string> RunTokenCommand(const TokenCommand& command, Store& store,
                                            absl::Time now);

// Makes the data folder, for its owner only, and opens the store in it.
absl::StatusOr<std::unique_ptr<Store>> OpenDataFolder(const std::string& folder);

}  // namespace spillway
