#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/cli/server_access.h"

namespace spillway {

struct StatusCommand {
  ServerAccess server;
  bool json = false;  // as the server tells it
};

// What `spillway status` prints: how a server that runs is, at a glance.
//   UNAVAILABLE        nobody answers there, or it doesn't tell (and why)
//   INVALID_ARGUMENT   what answers is no Spillway
absl::StatusOr<std::string> RunStatus(const StatusCommand& command);

// The same of what the server told (server/dialects/status_report.h). INVALID_ARGUMENT: it is
// something else.
absl::StatusOr<std::string> FormatStatus(const std::string& json);

}  // namespace spillway
