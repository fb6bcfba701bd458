// The composition root of `spillway`: reads flags, environment and what the machine allows, and
// gives them to what does the work. docs/threads.md lists the threads.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/standard_files.h"
#include "common/status_macros.h"
#include "common/tls/tls_files.h"
#include "server/auth/token.h"
#include "server/cli/chat_command.h"
#include "server/cli/command_line.h"
#include "server/cli/provider_options.h"
#include "server/cli/status_command.h"
#include "server/cli/token_commands.h"
#include "server/cli/usage_command.h"
#include "server/cli/worker_supervisor.h"
#include "server/config/config_file.h"
#include "server/config/config_keys.h"
#include "server/front_door.h"
#include "server/http/http_limits.h"
#include "server/http/tls_credentials.h"

namespace spillway {
namespace {

constexpr int kMmapThreshold = 128 << 10;
constexpr rlim_t kOpenFilesWanted = 65536;
constexpr int64_t kOpenFilesReserved = 256;  // for workers' streams, the store, logs

std::string GetEnv(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Environment ReadEnvironment() {
  Environment environment;
  environment.home = GetEnv("HOME");
  environment.xdg_state_home = GetEnv("XDG_STATE_HOME");
  environment.xdg_cache_home = GetEnv("XDG_CACHE_HOME");
  environment.xdg_runtime_dir = GetEnv("XDG_RUNTIME_DIR");
  environment.default_model = GetEnv("SPILLWAY_MODEL");
  environment.otlp_endpoint = GetEnv("OTEL_EXPORTER_OTLP_ENDPOINT");
  environment.server_url = GetEnv("OPENAI_BASE_URL");
  environment.server_token = GetEnv("SPILLWAY_TOKEN");
  if (environment.server_token.empty()) environment.server_token = GetEnv("OPENAI_API_KEY");
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof(path));
  if (length > 0) {
    environment.executable_folder =
        std::filesystem::path(std::string(path, static_cast<size_t>(length))).parent_path();
  }
  std::error_code ignored;
  environment.working_folder = std::filesystem::current_path(ignored).string();
  environment.cores = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
  return environment;
}

// A connection is an open file, and the usual limit of 1024 is below HttpLimits::connections_max.
void RaiseOpenFilesLimit() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kOpenFilesWanted));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// No more connections than there can be open files, less what the rest of the process needs.
HttpLimits LimitsOfThisMachine() {
  HttpLimits limits;
  rlimit files;
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return limits;
  const auto files_max = static_cast<int64_t>(files.rlim_cur);
  const int64_t for_connections = files_max - std::min(kOpenFilesReserved, files_max / 2);
  limits.connections_max =
      static_cast<int32_t>(std::clamp<int64_t>(for_connections, 1, limits.connections_max));
  return limits;
}

// Blocks, in this and all later threads, the signals that main waits for.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// `arguments` with what the configuration file says that they name, if they do.
absl::StatusOr<std::vector<std::string>> WithConfig(const std::vector<std::string>& arguments,
                                                    const ServeOptions& options) {
  if (options.config.empty()) return arguments;
  ASSIGN_OR_RETURN(const std::vector<ConfigSetting> settings, ReadConfig(options.config));
  return MergeCommandLine(arguments, settings, options.given);
}

Command ParseArguments(const std::vector<std::string>& arguments, const Environment& environment) {
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data(), environment);
}

// What there is to run, once the configuration file has had its say.
absl::StatusOr<Command> ReadCommand(const std::vector<std::string>& arguments) {
  const Environment environment = ReadEnvironment();
  Command command = ParseArguments(arguments, environment);
  const auto* serve = std::get_if<ServeOptions>(&command);
  if (serve == nullptr || serve->config.empty()) return command;
  ASSIGN_OR_RETURN(const std::vector<std::string> merged, WithConfig(arguments, *serve));
  const std::vector<std::string> given = serve->given;
  command = ParseArguments(merged, environment);
  if (auto* options = std::get_if<ServeOptions>(&command)) options->given = given;
  return command;
}

absl::Status CheckModelPaths(const ServeOptions& options) {
  for (const ServedModel& model : options.models) {
    if (::access(model.path.c_str(), R_OK) == 0) continue;
    return absl::NotFoundError(absl::StrCat(
        model.path, ": there is no such model (", std::strerror(errno),
        "). Name a GGUF file or a Hugging Face folder: spillway serve --model PATH, or set "
        "SPILLWAY_MODEL; `./dev run` fetches a small model by itself"));
  }
  return absl::OkStatus();
}

absl::Status Serve(const ServeOptions& options) {
  RETURN_IF_ERROR(CheckServeOptions(options));
  RETURN_IF_ERROR(CheckModelPaths(options));
  FrontDoor::Parts parts;
  ASSIGN_OR_RETURN(parts.providers,
                   ReadProviderFlags(options.providers,
                                     [](const std::string& name) { return GetEnv(name.c_str()); }));
  ASSIGN_OR_RETURN(parts.token_hashes,
                   ReadTokenHashes(options.token_sha256, options.token_sha256_file));
  if (!options.config.empty()) {
    ASSIGN_OR_RETURN(parts.config, ReadConfig(options.config));
  }
  if (!options.tls_certificate.empty()) {
    ASSIGN_OR_RETURN(parts.tls, TlsCredentials::Load({options.tls_certificate, options.tls_key}));
  }
  if (!options.worker_tls_certificate.empty()) {
    RETURN_IF_ERROR(CheckTlsFiles({options.worker_tls_certificate, options.worker_tls_key},
                                  options.worker_tls_authority));
  }
  // Large buffers go back to the system when they are freed: else glibc learns to keep them, and a
  // burst of slow clients would stay in our resident memory for ever.
  ::mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
  const sigset_t signals = BlockSignals();
  InitLogging("spillway", options.verbose ? LogLevel::kDebug : LogLevel::kInfo);
  RaiseOpenFilesLimit();
  parts.limits = LimitsOfThisMachine();
  std::random_device entropy;
  parts.random_seed = (uint64_t{entropy()} << 32) | entropy();
  ASSIGN_OR_RETURN(parts.store, OpenDataFolder(options.data_folder));
  ASSIGN_OR_RETURN(parts.ledger_store, OpenDataFolder(options.data_folder));
  ASSIGN_OR_RETURN(parts.budget_store, OpenDataFolder(options.data_folder));
  ASSIGN_OR_RETURN(RuntimeFolder folder, RuntimeFolder::Make(options.runtime_parent));
  FrontDoor front_door(options, std::move(folder), std::move(parts));
  RETURN_IF_ERROR(front_door.Start());
  RETURN_IF_ERROR(front_door.Run(signals));
  LogInfo("stopped");
  return absl::OkStatus();
}

absl::Status RunToken(const TokenCommand& command) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, OpenDataFolder(command.data_folder));
  ASSIGN_OR_RETURN(const std::string text,
                   RunTokenCommand(command, *store, SystemClock().WallNow()));
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

absl::Status RunUsageHere(const UsageCommand& command) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, OpenDataFolder(command.data_folder));
  ASSIGN_OR_RETURN(const std::string text, RunUsage(command, *store, SystemClock().WallNow()));
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

absl::Status RunConfig(const ConfigCommand& command) {
  if (command.action == ConfigCommand::Action::kSchema) {
    std::fputs(ConfigSchema().c_str(), stdout);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Command serve,
                   ReadCommand({"spillway", "serve", "--config", command.path}));
  if (const auto* exit = std::get_if<Exit>(&serve)) {
    return absl::InvalidArgumentError(absl::StrCat(command.path, ": ", exit->error));
  }
  if (absl::Status status = CheckServeOptions(std::get<ServeOptions>(serve)); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(command.path, ": ", status.message()));
  }
  std::printf("%s is sound\n", command.path.c_str());
  return absl::OkStatus();
}

volatile std::sig_atomic_t g_interrupted = 0;

// Ctrl-C stops an answer and not the conversation: waiting calls end with EINTR.
void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_interrupted = 1; };
  ::sigaction(SIGINT, &action, nullptr);
}

absl::Status RunChatHere(const ChatCommand& command) {
  ChatTerminal terminal{.in = std::cin, .out = std::cout, .err = std::cerr};
  terminal.in_is_terminal = ::isatty(STDIN_FILENO) == 1;
  terminal.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
  if (terminal.in_is_terminal && command.message.empty()) {
    CatchInterrupts();
    terminal.interrupted = [] {
      const bool interrupted = g_interrupted != 0;
      g_interrupted = 0;
      return interrupted;
    };
  }
  return RunChat(command, terminal);
}

absl::Status RunStatusHere(const StatusCommand& command) {
  ASSIGN_OR_RETURN(const std::string text, RunStatus(command));
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

// What each command does.
struct Runner {
  absl::Status operator()(const ServeOptions& options) const { return Serve(options); }
  absl::Status operator()(const TokenCommand& command) const { return RunToken(command); }
  absl::Status operator()(const ConfigCommand& command) const { return RunConfig(command); }
  absl::Status operator()(const UsageCommand& command) const { return RunUsageHere(command); }
  absl::Status operator()(const StatusCommand& command) const { return RunStatusHere(command); }
  absl::Status operator()(const ChatCommand& command) const { return RunChatHere(command); }
  absl::Status operator()(const Exit&) const { return absl::OkStatus(); }
};

int Main(int argc, char** argv) {
  KeepStandardFilesOpen();
  const absl::StatusOr<Command> read = ReadCommand(std::vector<std::string>(argv, argv + argc));
  if (!read.ok()) {
    std::fprintf(stderr, "%s\n", std::string(read.status().message()).c_str());
    return 1;
  }
  const Command& command = *read;
  if (const auto* exit = std::get_if<Exit>(&command)) {
    std::fputs(exit->out.c_str(), stdout);
    std::fputs(exit->error.c_str(), stderr);
    return exit->code;
  }
  // A peer that is gone, or a file over its limit (ulimit -f), is an error of the write.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const absl::Status status = std::visit(Runner(), command);
  FlushLog();
  if (status.ok()) return 0;
  std::fprintf(stderr, "spillway: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) { return spillway::Main(argc, argv); }
