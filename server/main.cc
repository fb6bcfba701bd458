// The composition root of `spillway`: reads flags and environment, makes the objects, starts the
// threads. docs/threads.md lists them.
//
// Threads: `main` waits for signals, restarts workers and refreshes tokens; each HTTP thread runs
// one event loop with its connections and its part of the router; gRPC has its own.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/machine_memory.h"
#include "common/metrics.h"
#include "common/status_macros.h"
#include "router/router.h"
#include "router/store.h"
#include "server/auth/authenticator.h"
#include "server/auth/failure_limiter.h"
#include "server/auth/request_gate.h"
#include "server/auth/token.h"
#include "server/cli/command_line.h"
#include "server/cli/memory_shares.h"
#include "server/cli/shutdown_plan.h"
#include "server/cli/token_commands.h"
#include "server/cli/worker_supervisor.h"
#include "server/dialects/openai_dialect.h"
#include "server/dialects/openai_error.h"
#include "server/dialects/operations_routes.h"
#include "server/http/http_server.h"
#include "server/http/ip_address.h"
#include "server/http/route_table.h"

namespace spillway {
namespace {

constexpr absl::Duration kTokenRefresh = absl::Seconds(1);
constexpr absl::Duration kRouterTick = absl::Milliseconds(50);
constexpr absl::Duration kDrainPoll = absl::Milliseconds(20);
constexpr absl::Duration kWorkerGrace = absl::Seconds(5);
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
  for (int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

absl::StatusOr<std::vector<std::string>> FixedTokenHashes(const ServeOptions& options) {
  std::vector<std::string> hashes = options.token_sha256;
  if (!options.token_sha256_file.empty()) {
    std::ifstream file(options.token_sha256_file);
    if (!file) {
      return absl::NotFoundError(
          absl::StrCat("can't read --token-sha256-file ", options.token_sha256_file));
    }
    for (std::string line; std::getline(file, line);) {
      absl::StripAsciiWhitespace(&line);
      if (!line.empty()) hashes.push_back(line);
    }
  }
  for (const std::string& hash : hashes) {
    if (!IsSha256Hex(hash)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a token's SHA-256 has 64 hex digits; this has ", hash.size(), " characters"));
    }
  }
  return hashes;
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

// Of a model's file, or of all files in its folder.
int64_t ModelBytes(const std::string& path) {
  std::error_code error;
  const auto size_of = [&error](const std::filesystem::path& file) {
    const auto size = std::filesystem::file_size(file, error);
    return error ? int64_t{0} : static_cast<int64_t>(size);
  };
  if (!std::filesystem::is_directory(path, error)) return size_of(path);
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.is_regular_file(error)) bytes += size_of(entry.path());
  }
  return bytes;
}

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
  if (memory_bytes > 0) {
    command.arguments.insert(command.arguments.end(), {"--memory", absl::StrCat(memory_bytes)});
  }
  command.arguments.insert(command.arguments.end(), options.worker_arguments.begin(),
                           options.worker_arguments.end());
  return command;
}

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

OpenAiOptions DialectOptions(uint64_t id_seed) {
  OpenAiOptions options;
  options.fingerprint = "spillway-" SPILLWAY_VERSION;
  options.id_seed = id_seed;
  return options;
}

// What one HTTP thread owns.
struct FrontDoorThread {
  FrontDoorThread(HttpServer& server, int32_t thread, uint64_t id_seed, Router& router,
                  const RequestGate& gate, const Clock& clock, const MetricRegistry& metrics,
                  const std::atomic<bool>& draining)
      : shard(router.MakeShard(server.Poster(thread))),
        openai(DialectOptions(id_seed), router, *shard, clock),
        routes(gate, FormatOpenAiError) {
    AddOperationsRoutes(routes, router, metrics, draining);
    openai.AddRoutes(routes);
    server.SetHandler(thread, routes);
    server.RunEvery(thread, kRouterTick, [this] { shard->Tick(); });
  }

  std::unique_ptr<RouterShard> shard;
  OpenAiDialect openai;
  RouteTable routes;
};

// `spillway serve`, once its options are sound.
class FrontDoor {
 public:
  FrontDoor(const ServeOptions& options, std::unique_ptr<Store> store,
            const std::vector<std::string>& token_hashes, RuntimeFolder folder)
      : options_(options),
        store_(std::move(store)),
        authenticator_(token_hashes),
        failures_(FailureLimits()),
        folder_(std::move(folder)),
        server_(ServerOptions(options), clock_, metrics_),
        router_(MakeRouter(RouterLimits(), clock_, metrics_)),
        supervisor_(WorkerCommands(options, folder_.path()), RestartPolicy(), clock_),
        plan_(options.drain_delay, options.grace) {
    const RequestGate gate = MakeRequestGate(authenticator_, failures_, clock_, FormatOpenAiError);
    std::random_device entropy;
    for (int32_t i = 0; i < options.http_threads; ++i) {
      const uint64_t seed = (uint64_t{entropy()} << 32) | entropy();
      threads_.push_back(std::make_unique<FrontDoorThread>(server_, i, seed, *router_, gate, clock_,
                                                           metrics_, draining_));
    }
  }

  ~FrontDoor() {
    server_.Stop();
    router_->Shutdown();
    supervisor_.Stop(kWorkerGrace);
  }

  absl::Status Start() {
    RETURN_IF_ERROR(RefreshTokens());
    RETURN_IF_ERROR(server_.Start());
    RETURN_IF_ERROR(supervisor_.Start());
    for (const WorkerCommand& command : WorkerCommands(options_, folder_.path())) {
      router_->AddReplica(command.name, "unix:" + command.socket_path, command.model_name);
    }
    for (size_t i = 0; i < options_.workers_elsewhere.size(); ++i) {
      router_->AddReplica(absl::StrCat("elsewhere-", i), options_.workers_elsewhere[i], "");
    }
    for (const std::string& address : server_.bound_addresses()) {
      std::printf("listening on http://%s\n", address.c_str());
    }
    if (!options_.no_auth && authenticator_.empty()) {
      std::printf("no tokens yet; make one with: spillway token create NAME\n");
    }
    std::fflush(stdout);
    return absl::OkStatus();
  }

  // Returns when it is time to go. An error: a model can't be loaded, and why.
  absl::Status Run(const sigset_t& signals) {
    while (plan_.phase() != ServingPhase::kStopped) {
      switch (WaitForSignal(signals)) {
        case SIGTERM:
          plan_.OnTerminate(clock_.Now());
          break;
        case SIGINT:
          plan_.OnInterrupt(clock_.Now());
          break;
        default:
          break;
      }
      supervisor_.Poll();
      RETURN_IF_ERROR(supervisor_.load_failure());
      if (clock_.Now() >= next_refresh_) {
        if (absl::Status status = RefreshTokens(); !status.ok()) {
          LogWarning(absl::StrCat("the tokens known so far stay: ", status.message()));
        }
      }
      AnnounceReadiness();
      plan_.OnTick(clock_.Now(), plan_.phase() == ServingPhase::kDraining &&
                                     server_.WaitUntilIdle(absl::ZeroDuration()));
      EnterPhase();
    }
    return absl::OkStatus();
  }

 private:
  static HttpServerOptions ServerOptions(const ServeOptions& options) {
    HttpServerOptions server;
    for (const std::string& address : options.listen) {
      server.listeners.push_back({.address = address,
                                  .token_required = !options.no_auth,
                                  // A page of any site may call if it has a token.
                                  .any_origin = !options.no_auth});
    }
    server.threads = options.http_threads;
    for (const std::string& network : options.trusted_proxies) {
      server.trusted_proxies.push_back(IpNetwork::Parse(network).value());
    }
    server.limits = LimitsOfThisMachine();
    std::random_device entropy;
    server.id_seed = (uint64_t{entropy()} << 32) | entropy();
    return server;
  }

  absl::Status RefreshTokens() {
    next_refresh_ = clock_.Now() + kTokenRefresh;
    if (options_.no_auth) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, store_->ListTokens());
    authenticator_.Update(tokens);
    return absl::OkStatus();
  }

  // The signal that came, 0 when something else is due.
  int WaitForSignal(const sigset_t& signals) {
    absl::Time wake = std::min({next_refresh_, supervisor_.next_start(), plan_.next_tick()});
    if (plan_.phase() == ServingPhase::kDraining || AwaitsModels()) {
      wake = std::min(wake, clock_.Now() + kDrainPoll);
    }
    const timespec wait = absl::ToTimespec(std::max(absl::ZeroDuration(), wake - clock_.Now()));
    const int signal = ::sigtimedwait(&signals, nullptr, &wait);
    return signal > 0 ? signal : 0;
  }

  // Whether a model has not been ready so far. Attached workers tell their models only then.
  bool AwaitsModels() const {
    return announced_.size() < std::max<size_t>(options_.models.size(), 1);
  }

  // Says once for each model that it is there.
  void AnnounceReadiness() {
    if (!AwaitsModels()) return;
    for (const ModelInfo& model : router_->Models()) {
      if (!announced_.insert(model.name).second) continue;
      std::printf("ready: model %s, context %d tokens\n", model.name.c_str(),
                  model.context_tokens_max);
      std::fflush(stdout);
    }
  }

  void EnterPhase() {
    if (plan_.phase() == entered_) return;
    entered_ = plan_.phase();
    draining_ = true;
    if (entered_ == ServingPhase::kDelaying) {
      LogInfo(absl::StrCat("shutting down; still serving for ",
                           absl::FormatDuration(options_.drain_delay)));
    }
    if (entered_ == ServingPhase::kDraining) {
      LogInfo(absl::StrCat("draining: running answers have ", absl::FormatDuration(options_.grace),
                           " to end"));
      router_->SetDraining(true);
      server_.StopAccepting();
    }
  }

  const ServeOptions& options_;
  SystemClock clock_;
  MetricRegistry metrics_;
  std::atomic<bool> draining_ = false;
  std::unique_ptr<Store> store_;
  Authenticator authenticator_;
  FailureLimiter failures_;
  RuntimeFolder folder_;
  // In this order: shards go before the router, the router before the threads that it posts to.
  HttpServer server_;
  std::unique_ptr<Router> router_;
  std::vector<std::unique_ptr<FrontDoorThread>> threads_;
  WorkerSupervisor supervisor_;
  ShutdownPlan plan_;
  ServingPhase entered_ = ServingPhase::kServing;
  absl::Time next_refresh_;
  std::set<std::string> announced_;  // models
};

absl::Status Serve(const ServeOptions& options) {
  RETURN_IF_ERROR(CheckServeOptions(options));
  RETURN_IF_ERROR(CheckModelPaths(options));
  ASSIGN_OR_RETURN(const std::vector<std::string> hashes, FixedTokenHashes(options));
  // Large buffers go back to the system when they are freed: else glibc learns to keep them, and a
  // burst of slow clients would stay in our resident memory for ever.
  ::mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
  InitLogging("spillway", options.verbose ? LogLevel::kDebug : LogLevel::kInfo);
  RaiseOpenFilesLimit();
  const sigset_t signals = BlockSignals();
  ASSIGN_OR_RETURN(std::unique_ptr<Store> store, OpenDataFolder(options.data_folder));
  ASSIGN_OR_RETURN(RuntimeFolder folder, RuntimeFolder::Make(options.runtime_parent));
  FrontDoor front_door(options, std::move(store), hashes, std::move(folder));
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

int Main(int argc, char** argv) {
  const Command command = ParseCommandLine(argc, argv, ReadEnvironment());
  if (const auto* exit = std::get_if<Exit>(&command)) {
    std::fputs(exit->out.c_str(), stdout);
    std::fputs(exit->error.c_str(), stderr);
    return exit->code;
  }
  const auto* token = std::get_if<TokenCommand>(&command);
  const absl::Status status =
      token != nullptr ? RunToken(*token) : Serve(std::get<ServeOptions>(command));
  if (status.ok()) return 0;
  std::fprintf(stderr, "spillway: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) { return spillway::Main(argc, argv); }
