#pragma once

#include <string>
#include <vector>

#include "server/cli/command_line.h"
#include "server/cli/worker_supervisor.h"

namespace spillway {

// The workers of this machine that `options` ask for, with sockets in `folder`. Two or more share
// the memory that is free now.
std::vector<WorkerCommand> WorkerCommands(const ServeOptions& options, const std::string& folder);

}  // namespace spillway
