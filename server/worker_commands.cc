#include "server/worker_commands.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/machine_memory.h"
#include "server/cli/memory_shares.h"
#include "server/cli/model_bytes.h"

namespace spillway {
namespace {

// What each worker may take of this machine's memory; empty for a lone one, which looks for itself.
std::vector<int64_t> WorkerMemory(const ServeOptions& options) {
  std::vector<int64_t> model_bytes;
  for (const ServedModel& model : options.models) {
    model_bytes.insert(model_bytes.end(), static_cast<size_t>(options.workers),
                       ModelBytes(model.path));
  }
  if (model_bytes.size() < 2) return {};
  const absl::StatusOr<MachineMemory> memory = ReadMachineMemory();
  if (!memory.ok()) return {};
  return ShareMemory(memory->available_bytes, model_bytes);
}

WorkerCommand CommandFor(const ServedModel& model, const ServeOptions& options,
                         const std::string& folder, std::string name, int64_t memory_bytes) {
  WorkerCommand command;
  command.name = std::move(name);
  command.model_name = model.name;
  command.binary = options.worker_binary;
  command.socket_path = absl::StrCat(folder, "/", command.name, ".sock");
  command.failure_path = absl::StrCat(folder, "/", command.name, ".failure");
  command.arguments = {"--model",          model.path,
                       "--model-name",     model.name,
                       "--listen",         "unix:" + command.socket_path,
                       "--threads",        absl::StrCat(options.worker_threads),
                       "--failure-file",   command.failure_path,
                       "--die-with-parent"};
  if (!options.worker_device.empty()) {
    command.arguments.insert(command.arguments.end(), {"--device", options.worker_device});
  }
  if (memory_bytes > 0) {
    command.arguments.insert(command.arguments.end(), {"--memory", absl::StrCat(memory_bytes)});
  }
  command.arguments.insert(command.arguments.end(), options.worker_arguments.begin(),
                           options.worker_arguments.end());
  return command;
}

}  // namespace

std::vector<WorkerCommand> WorkerCommands(const ServeOptions& options, const std::string& folder) {
  std::vector<WorkerCommand> commands;
  const std::vector<int64_t> memory = WorkerMemory(options);
  for (const ServedModel& model : options.models) {
    for (int32_t i = 0; i < options.workers; ++i) {
      const size_t index = commands.size();
      commands.push_back(CommandFor(model, options, folder, absl::StrCat("worker-", index),
                                    memory.empty() ? 0 : memory[index]));
    }
  }
  return commands;
}

}  // namespace spillway
