#include "server/front_door.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "router/vllm_aliases.h"
#include "server/auth/request_gate.h"
#include "server/auth/token.h"
#include "server/cli/model_bytes.h"
#include "server/dialects/anthropic_dialect.h"
#include "server/dialects/billing_routes.h"
#include "server/dialects/dialect_context.h"
#include "server/dialects/dialect_errors.h"
#include "server/dialects/eas_paths.h"
#include "server/dialects/ollama_dialect.h"
#include "server/dialects/openai_dialect.h"
#include "server/dialects/openai_error.h"
#include "server/dialects/operations_routes.h"
#include "server/dialects/status_report.h"
#include "server/http/http_client.h"
#include "server/http/ip_address.h"
#include "server/http/route_table.h"
#include "server/provider_setup.h"
#include "server/providers/provider_gateway.h"
#include "server/worker_commands.h"

namespace spillway {
namespace {

constexpr absl::Duration kRefresh = absl::Seconds(1);  // of tokens and files
constexpr absl::Duration kRouterTick = absl::Milliseconds(50);
constexpr absl::Duration kCircuitsShown = absl::Seconds(1);
constexpr absl::Duration kDrainPoll = absl::Milliseconds(20);
constexpr absl::Duration kWorkerGrace = absl::Seconds(5);
constexpr absl::Duration kCollectorWait = absl::Seconds(5);  // to connect, and for its answer

OpenAiOptions DialectOptions(const ServeOptions& serve, uint64_t id_seed, RequestObserver& observer,
                             ProviderGateway* providers) {
  OpenAiOptions options;
  options.fingerprint = "spillway-" SPILLWAY_VERSION;
  options.timings = {.start_after_accepted = serve.stream_begin,
                     .keep_alive_every = serve.keep_alive};
  options.id_seed = id_seed;
  options.observer = &observer;
  options.providers = providers;
  return options;
}

// Refuses in the shape that the path's clients read.
RequestGate GateOfAllDialects(const Authenticator& authenticator, FailureLimiter& failures,
                              const Clock& clock) {
  std::vector<std::pair<std::string_view, RequestGate>> gates;
  for (PathErrors& errors : DialectErrors()) {
    gates.emplace_back(errors.prefix,
                       MakeRequestGate(authenticator, failures, clock, std::move(errors.format)));
  }
  gates.emplace_back("", MakeRequestGate(authenticator, failures, clock, FormatOpenAiError));
  return [gates = std::move(gates)](HttpRequest& request, TokenRule rule) {
    const auto gate = std::ranges::find_if(
        gates, [&](const auto& entry) { return request.path.starts_with(entry.first); });
    return gate->second(request, rule);
  };
}

ModelSizes SizesOf(const ServeOptions& options) {
  ModelSizes sizes;
  for (const ServedModel& model : options.models) sizes[model.name] = ModelBytes(model.path);
  return sizes;
}

// Before this process began, so that a restart gives nobody a new day.
std::map<std::string, Authenticator::PastUse> UsedToday(const UsageLedger& ledger) {
  std::map<std::string, Authenticator::PastUse> past;
  for (const auto& [token_id, counts] : ledger.past()) {
    past[token_id] = {.requests = counts.requests,
                      .tokens = counts.prompt_tokens + counts.completion_tokens};
  }
  return past;
}

// Posts to a collector. `endpoint` was checked.
SpanExporter::Send SpanSender(const std::string& endpoint) {
  return [url = ParseBaseUrl(endpoint).value()](const std::string& body) -> absl::Status {
    HttpClient client(url, {.connect_max = kCollectorWait, .silence_max = kCollectorWait});
    ASSIGN_OR_RETURN(const HttpReply reply,
                     client.Ask({.method = "POST",
                                 .path = "/v1/traces",
                                 .headers = {{"Content-Type", "application/json"}},
                                 .body = body}));
    if (reply.status >= 200 && reply.status < 300) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("the collector answers with status ", reply.status));
  };
}

}  // namespace

struct FrontDoorThread {
  FrontDoorThread(const ServeOptions& serve, HttpServer& server, int32_t thread, uint64_t id_seed,
                  Router& router, const RequestGate& gate, const Clock& clock,
                  const MetricRegistry& metrics, const std::atomic<bool>& draining,
                  RequestObserver& observer, const ModelSizes& sizes,
                  std::unique_ptr<ProviderGateway> gateway, std::function<StatusReport()> status,
                  CostOfToken cost_of)
      : shard(router.MakeShard(server.Poster(thread))),
        providers(std::move(gateway)),
        context{.router = router,
                .shard = *shard,
                .clock = clock,
                .observer = &observer,
                .providers = providers.get(),
                .limits = {},
                .timings = {.start_after_accepted = serve.stream_begin,
                            .keep_alive_every = serve.keep_alive},
                .id_seed = id_seed},
        openai(DialectOptions(serve, id_seed, observer, providers.get()), router, *shard, clock),
        anthropic(context),
        ollama(context, sizes),
        routes(gate, FormatOpenAiError),
        eas(router, routes, FormatOpenAiError) {
    shard->SetObserver(&observer);
    AddOperationsRoutes(routes, router, metrics, draining, serve.no_model, std::move(status));
    openai.AddRoutes(routes);
    AddBillingRoutes(routes, clock, std::move(cost_of));
    anthropic.AddRoutes(routes);
    ollama.AddRoutes(routes);
    for (PathErrors& errors : DialectErrors()) {
      routes.AddErrorFormat(errors.prefix, std::move(errors.format));
    }
    server.SetHandler(thread, eas);
    server.RunEvery(thread, kRouterTick, [this] { shard->Tick(); });
    if (providers != nullptr && thread == 0) {
      server.RunEvery(thread, kCircuitsShown,
                      [this] { providers->metrics().ShowCircuits(providers->clock().Now()); });
    }
  }

  std::unique_ptr<RouterShard> shard;
  const std::unique_ptr<ProviderGateway> providers;  // null: there are none
  const DialectContext context;
  OpenAiDialect openai;
  AnthropicDialect anthropic;
  OllamaDialect ollama;
  RouteTable routes;
  EasPaths eas;
};

FrontDoor::FrontDoor(const ServeOptions& options, RuntimeFolder folder, Parts parts)
    : options_(options),
      has_terminal_(::isatty(STDIN_FILENO) == 1),
      began_(clock_.Now()),
      log_lines_dropped_(metrics_.GetCounter("spillway_log_lines_dropped_total",
                                             "Lines that the log was too slow for.")),
      request_log_(Log),
      ledger_store_(std::move(parts.ledger_store)),
      ledger_(LedgerLimits(), absl::StrCat(absl::Hex(parts.random_seed, absl::kZeroPad16)), clock_,
              metrics_, *ledger_store_),
      budget_store_(std::move(parts.budget_store)),
      budget_(BudgetLimits(), clock_, metrics_, *budget_store_),
      store_(std::move(parts.store)),
      authenticator_(parts.token_hashes, clock_),
      failures_(FailureLimits()),
      folder_(std::move(folder)),
      tls_(parts.tls),
      grpc_id_seed_(parts.random_seed + 3),
      worker_commands_(WorkerCommands(options, folder_.path())),
      token_hashes_read_(StampOf(options.token_sha256_file)),
      token_hashes_seen_(token_hashes_read_),
      config_read_(StampOf(options.config)),
      config_seen_(config_read_),
      config_(std::move(parts.config)),
      token_sha256_(options.token_sha256),
      providers_(MakeProviderSet(parts.providers)),
      server_(ServerOptions(parts), clock_, metrics_),
      router_(MakeRouter(RouterLimits(), clock_, metrics_, std::nullopt,
                         {.certificate = options.worker_tls_certificate,
                          .key = options.worker_tls_key,
                          .authority = options.worker_tls_authority})),
      supervisor_(worker_commands_, RestartPolicy(), clock_),
      plan_(options.drain_delay, options.grace) {
  AddVllmAliases(metrics_);
  observers_.Add(request_log_);
  observers_.Add(ledger_);
  if (!options.otlp_endpoint.empty()) {
    spans_ = std::make_unique<SpanExporter>(clock_, metrics_, parts.random_seed + 2,
                                            SpanSender(options.otlp_endpoint));
    observers_.Add(*spans_);
  }
  const RequestGate gate = GateOfAllDialects(authenticator_, failures_, clock_);
  const ModelSizes sizes = SizesOf(options);
  std::mt19937_64 seeds(parts.random_seed + 1);
  for (int32_t i = 0; i < options.http_threads; ++i) {
    threads_.push_back(std::make_unique<FrontDoorThread>(
        options, server_, i, seeds(), *router_, gate, clock_, metrics_, draining_, observers_,
        sizes,
        MakeProviderGateway(providers_.get(), parts.providers, options.no_model, options.spill,
                            server_, i, clock_, metrics_, observers_, budget_,
                            absl::StrCat(absl::Hex(parts.random_seed, absl::kZeroPad16), "-", i)),
        [this] { return Report(); },
        [this](std::string_view token_id, int64_t first_day, int64_t last_day) {
          return ledger_.CostOf(token_id, first_day, last_day);
        }));
  }
}

FrontDoor::~FrontDoor() {
  grpc_.reset();  // its calls end on the server's threads
  server_.Stop();
  budget_
      .Stop();  // what it still answers is posted to threads that have ended, not to what is gone
  router_->Shutdown();
  supervisor_.Stop(kWorkerGrace);
}

absl::Status FrontDoor::Start() {
  RETURN_IF_ERROR(ledger_.Load());
  authenticator_.SetPast(UsedToday(ledger_));
  RETURN_IF_ERROR(RefreshTokens());
  ledger_.Start();
  if (providers_ != nullptr) budget_.Start();
  RETURN_IF_ERROR(server_.Start());
  RETURN_IF_ERROR(supervisor_.Start());
  for (const WorkerCommand& command : worker_commands_) {
    router_->AddReplica(command.name, "unix:" + command.socket_path, command.model_name);
  }
  for (size_t i = 0; i < options_.workers_elsewhere.size(); ++i) {
    router_->AddReplica(absl::StrCat("elsewhere-", i), options_.workers_elsewhere[i], "");
  }
  const std::vector<std::string> addresses = server_.bound_addresses();
  for (size_t i = 0; i < addresses.size(); ++i) {
    // The last is the one of --ollama.
    if (i == options_.listen.size()) {
      Announce(absl::StrCat("listening as an Ollama on http://", addresses[i]));
      continue;
    }
    const bool tls = ParseListenAddress(options_.listen[i], tls_ != nullptr).tls;
    Announce(absl::StrCat("listening on ", tls ? "https" : "http", "://", addresses[i]));
  }
  RETURN_IF_ERROR(StartGrpc());
  for (size_t i = 0; providers_ != nullptr && i < providers_->size(); ++i) {
    const ProviderConfig& provider = providers_->config(i);
    Announce(absl::StrCat("asks ", provider.name, " for ",
                          provider.any_model ? "models that are not served here"
                                             : absl::StrCat(provider.models.size(), " models")));
  }
  if (!options_.no_auth && authenticator_.empty()) {
    Announce("no tokens yet; make one with: spillway token create NAME");
  }
  return absl::OkStatus();
}

absl::Status FrontDoor::Run(const sigset_t& signals) {
  while (plan_.phase() != ServingPhase::kStopped) {
    OnSignal(WaitForSignal(signals));
    supervisor_.Poll();
    for (const WorkerEnd& end : supervisor_.TakeEnds()) {
      router_->ExplainReplica(end.worker, "its process " + end.how);
    }
    RETURN_IF_ERROR(supervisor_.load_failure());
    if (clock_.Now() >= next_refresh_) {
      const int64_t dropped = LogLinesDropped();
      log_lines_dropped_.Add(
          static_cast<double>(dropped - std::exchange(log_lines_counted_, dropped)));
      ReloadFiles(/*forced=*/false);
      if (absl::Status status = RefreshTokens(); !status.ok()) {
        LogWarning(absl::StrCat("the tokens known so far stay: ", status.message()));
      }
    }
    AnnounceReadiness();
    if (grpc_ != nullptr) grpc_->SetReady(!draining_ && AnyReady());
    plan_.OnTick(clock_.Now(), plan_.phase() == ServingPhase::kDraining &&
                                   (grpc_ == nullptr || grpc_->calls_in_flight() == 0) &&
                                   server_.WaitUntilIdle(absl::ZeroDuration()));
    EnterPhase();
  }
  return absl::OkStatus();
}

absl::Status FrontDoor::StartGrpc() {
  if (options_.grpc.empty()) return absl::OkStatus();
  std::vector<InferenceShard> shards;
  for (size_t i = 0; i < threads_.size(); ++i) {
    shards.push_back({threads_[i]->shard.get(), server_.Poster(static_cast<int32_t>(i))});
  }
  ASSIGN_OR_RETURN(grpc_, InferenceServer::Start(
                              {.address = options_.grpc,
                               .tls = {options_.tls_certificate, options_.tls_key},
                               .token_required = !options_.no_auth,
                               .loopback = IsLoopbackAddress(options_.grpc),
                               .id_seed = grpc_id_seed_},
                              {*router_, std::move(shards), authenticator_, failures_, clock_}));
  Announce(absl::StrCat("listening for gRPC on ", grpc_->address()));
  return absl::OkStatus();
}

std::vector<ProviderStatus> FrontDoor::Providers() const {
  std::vector<ProviderStatus> providers;
  if (providers_ == nullptr) return providers;
  const absl::Time now = clock_.Now();
  const std::vector<OpenCircuit> circuits = providers_->OpenCircuits(now);
  for (size_t i = 0; i < providers_->size(); ++i) {
    const ProviderConfig& config = providers_->config(i);
    ProviderStatus& provider = providers.emplace_back();
    provider.name = config.name;
    provider.any_model = config.any_model;
    provider.models = static_cast<int64_t>(config.models.size());
    for (const OpenCircuit& circuit : circuits) {
      if (circuit.of.provider != config.name) continue;
      provider.shunned.push_back({circuit.of.model, std::string(circuit.reason),
                                  std::max(absl::ZeroDuration(), circuit.open_until - now)});
    }
  }
  return providers;
}

bool FrontDoor::AnyReady() const {
  const std::vector<ReplicaStatus> replicas = router_->Replicas();
  return std::ranges::any_of(replicas, [](const ReplicaStatus& replica) { return replica.ready; });
}

HttpServerOptions FrontDoor::ServerOptions(const Parts& parts) const {
  HttpServerOptions server;
  for (const std::string& listen : options_.listen) {
    const ListenAddress listener = ParseListenAddress(listen, parts.tls != nullptr);
    server.listeners.push_back({.address = listener.address,
                                .token_required = !options_.no_auth,
                                // A page of any site may call if it has a token.
                                .any_origin = !options_.no_auth,
                                .tls = listener.tls ? parts.tls : nullptr});
  }
  if (!options_.ollama.empty()) {
    // Ollama's command line can send no token to its own machine.
    const bool token = !options_.no_auth && !IsLoopbackAddress(options_.ollama);
    server.listeners.push_back(
        {.address = options_.ollama, .token_required = token, .any_origin = token, .ollama = true});
  }
  server.threads = options_.http_threads;
  for (const std::string& network : options_.trusted_proxies) {
    server.trusted_proxies.push_back(IpNetwork::Parse(network).value());
  }
  server.limits = parts.limits;
  server.id_seed = parts.random_seed;
  return server;
}

absl::Status FrontDoor::RefreshTokens() {
  next_refresh_ = clock_.Now() + kRefresh;
  if (options_.no_auth) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, store_->ListTokens());
  authenticator_.Update(tokens);
  return absl::OkStatus();
}

StatusReport FrontDoor::Report() const {
  return {.version = SPILLWAY_VERSION,
          .up = clock_.Now() - began_,
          .draining = draining_,
          .models = router_->Models(),
          .replicas = router_->Replicas(),
          .providers = Providers(),
          .problems = RecentProblems()};
}

void FrontDoor::OnSignal(int signal) {
  if (signal == SIGTERM) plan_.OnTerminate(clock_.Now());
  if (signal == SIGINT) plan_.OnInterrupt(clock_.Now());
  if (signal != SIGHUP) return;
  // It says "read your files again", but also "your terminal is gone".
  if (has_terminal_ && ::isatty(STDIN_FILENO) != 1) {
    plan_.OnInterrupt(clock_.Now());
    return;
  }
  LogInfo("reading files again");
  ReloadFiles(/*forced=*/true);
  next_refresh_ = clock_.Now();
}

void FrontDoor::ReloadFiles(bool forced) {
  if (tls_ != nullptr && (forced || tls_->HaveChanged())) ReloadTls();
  if (!options_.config.empty()) {
    const FileStamp stamp = StampOf(options_.config);
    const bool stands = stamp == std::exchange(config_seen_, stamp);
    if (forced || (stands && stamp != config_read_)) ReloadConfig();
  }
  if (options_.token_sha256_file.empty()) return;
  // As of the certificates: what is being written is left to stand still first.
  const FileStamp now = StampOf(options_.token_sha256_file);
  const bool still = now == std::exchange(token_hashes_seen_, now);
  if (forced || (still && now != token_hashes_read_)) ReloadTokenHashes();
}

void FrontDoor::ReloadTls() {
  if (absl::Status status = tls_->Reload(); !status.ok()) {
    LogError(absl::StrCat("the TLS certificate known so far stays: ", status.message()));
    return;
  }
  LogInfo(absl::StrCat("read the TLS certificate ", tls_->files().certificate,
                       " again; it is valid until ",
                       absl::FormatTime(tls_->expires(), absl::UTCTimeZone())));
}

void FrontDoor::ReloadTokenHashes() {
  token_hashes_read_ = StampOf(options_.token_sha256_file);
  absl::StatusOr<std::vector<std::string>> hashes =
      ReadTokenHashes(token_sha256_, options_.token_sha256_file);
  if (hashes.ok()) {
    authenticator_.SetFixed(*hashes);
    LogInfo("read the hashes of tokens again");
  } else {
    LogError(absl::StrCat("the tokens known so far stay: ", hashes.status().message()));
  }
}

void FrontDoor::ReloadConfig() {
  config_read_ = StampOf(options_.config);
  absl::StatusOr<std::vector<ConfigSetting>> config = ReadConfig(options_.config);
  if (!config.ok()) {
    LogError(absl::StrCat("the configuration known so far stays:\n",
                          std::string(config.status().message())));
    return;
  }
  std::vector<std::string> restart;
  for (const ConfigKey* key : ChangedKeys(config_, *config)) {
    if (std::ranges::find(options_.given, key->flag) != options_.given.end()) continue;
    if (!key->live) {
      restart.emplace_back(key->path);
      continue;
    }
    token_sha256_.clear();  // The only one so far.
    for (const ConfigSetting& setting : *config) {
      if (setting.key == key) token_sha256_ = setting.values;
    }
    ReloadTokenHashes();
  }
  config_ = *std::move(config);
  LogInfo(absl::StrCat(
      "read ", options_.config, " again",
      restart.empty() ? "" : "; this takes a restart: ", absl::StrJoin(restart, ", ")));
}

// The signal that came, 0 when something else is due.
int FrontDoor::WaitForSignal(const sigset_t& signals) {
  absl::Time wake = std::min({next_refresh_, supervisor_.next_start(), plan_.next_tick()});
  if (plan_.phase() == ServingPhase::kDraining || AwaitsModels()) {
    wake = std::min(wake, clock_.Now() + kDrainPoll);
  }
  const timespec wait = absl::ToTimespec(std::max(absl::ZeroDuration(), wake - clock_.Now()));
  const int signal = ::sigtimedwait(&signals, nullptr, &wait);
  return signal > 0 ? signal : 0;
}

// Whether a model has not been ready so far. Attached workers tell their models only then.
bool FrontDoor::AwaitsModels() const {
  if (options_.no_model) return false;
  return announced_.size() < std::max<size_t>(options_.models.size(), 1);
}

// Says once for each model that it is there.
void FrontDoor::AnnounceReadiness() {
  if (!AwaitsModels()) return;
  for (const ModelInfo& model : router_->Models()) {
    if (!announced_.insert(model.name).second) continue;
    Announce(absl::StrCat("ready: model ", model.name, ", context ", model.context_tokens_max,
                          " tokens"));
  }
}

void FrontDoor::EnterPhase() {
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

}  // namespace spillway
