#pragma once

#include <atomic>
#include <csignal>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/file_stamp.h"
#include "common/metrics.h"
#include "router/provider_set.h"
#include "router/router.h"
#include "router/store.h"
#include "server/auth/authenticator.h"
#include "server/auth/failure_limiter.h"
#include "server/cli/command_line.h"
#include "server/cli/shutdown_plan.h"
#include "server/cli/worker_supervisor.h"
#include "server/config/config_file.h"
#include "server/grpc/inference_service.h"
#include "server/http/http_server.h"
#include "server/http/tls_credentials.h"
#include "server/ledger/budget_desk.h"
#include "server/ledger/usage_ledger.h"
#include "server/telemetry/request_log.h"
#include "server/telemetry/span_exporter.h"

namespace spillway {

struct ProviderStatus;
struct StatusReport;
struct FrontDoorThread;  // what one HTTP thread owns

// `spillway serve`, once its options are sound: makes the objects, starts workers and threads, and
// does the main thread's part until the end.
//
// Threading: the process's main thread makes all calls.
class FrontDoor {
 public:
  // What main.cc made of the machine and of the options.
  struct Parts {
    std::unique_ptr<Store> store;
    std::unique_ptr<Store> ledger_store;  // the same, by a connection of its own
    std::unique_ptr<Store> budget_store;  // likewise
    std::vector<std::string> token_hashes;
    std::vector<ConfigSetting> config;    // what the configuration file says; empty: there is none
    std::shared_ptr<TlsCredentials> tls;  // null: no listener speaks TLS
    std::vector<ProviderOptions> providers;
    HttpLimits limits;
    uint64_t random_seed = 0;
  };

  // `options` must outlive it.
  FrontDoor(const ServeOptions& options, RuntimeFolder folder, Parts parts);
  ~FrontDoor();
  FrontDoor(const FrontDoor&) = delete;
  FrontDoor& operator=(const FrontDoor&) = delete;

  // Listens and starts the workers; says on stdout where.
  absl::Status Start();

  // Returns when it is time to go. `signals` are those that all threads block: SIGTERM, SIGINT,
  // SIGHUP and SIGCHLD. An error: a model can't be loaded, and why.
  absl::Status Run(const sigset_t& signals);

 private:
  HttpServerOptions ServerOptions(const Parts& parts) const;
  StatusReport Report() const;
  std::vector<ProviderStatus> Providers() const;
  absl::Status StartGrpc();
  bool AnyReady() const;
  absl::Status RefreshTokens();
  void OnSignal(int signal);
  void ReloadFiles(bool forced);
  void ReloadTls();
  void ReloadTokenHashes();
  void ReloadConfig();
  int WaitForSignal(const sigset_t& signals);
  bool AwaitsModels() const;
  void AnnounceReadiness();
  void EnterPhase();

  const ServeOptions& options_;
  const bool has_terminal_;
  SystemClock clock_;
  const absl::Time began_;
  MetricRegistry metrics_;
  Counter& log_lines_dropped_;
  int64_t log_lines_counted_ = 0;  // in it
  RequestLog request_log_;
  std::unique_ptr<Store> ledger_store_;
  UsageLedger ledger_;
  std::unique_ptr<Store> budget_store_;
  BudgetDesk budget_;
  std::unique_ptr<SpanExporter> spans_;  // null: nobody wants any
  ObserverList observers_;
  std::atomic<bool> draining_ = false;
  std::unique_ptr<Store> store_;
  Authenticator authenticator_;
  FailureLimiter failures_;
  RuntimeFolder folder_;
  const std::shared_ptr<TlsCredentials> tls_;
  const uint64_t grpc_id_seed_;
  const std::vector<WorkerCommand> worker_commands_;
  FileStamp token_hashes_read_;  // of the file as it was last read, whatever came of it
  FileStamp token_hashes_seen_;  // a refresh ago
  FileStamp config_read_;        // as these two, of the configuration file
  FileStamp config_seen_;
  std::vector<ConfigSetting> config_;       // as it was last read
  std::vector<std::string> token_sha256_;   // as flags or that file have them
  std::unique_ptr<ProviderSet> providers_;  // null: there are none
  // In this order: shards go before the router, the router before the threads that it posts to.
  HttpServer server_;
  std::unique_ptr<Router> router_;
  std::vector<std::unique_ptr<FrontDoorThread>> threads_;
  std::unique_ptr<InferenceServer> grpc_;  // null: nobody wants it
  WorkerSupervisor supervisor_;
  ShutdownPlan plan_;
  ServingPhase entered_ = ServingPhase::kServing;
  absl::Time next_refresh_;
  std::set<std::string> announced_;  // models
};

}  // namespace spillway
