#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "router/spill_policy.h"
#include "server/cli/chat_command.h"
#include "server/cli/provider_options.h"
#include "server/cli/status_command.h"

namespace spillway {

// What the environment says; main reads it.
struct Environment {
  std::string home;
  std::string xdg_state_home;
  std::string xdg_cache_home;
  std::string xdg_runtime_dir;
  std::string default_model;      // SPILLWAY_MODEL
  std::string server_url;         // OPENAI_BASE_URL
  std::string otlp_endpoint;      // OTEL_EXPORTER_OTLP_ENDPOINT
  std::string server_token;       // SPILLWAY_TOKEN, else OPENAI_API_KEY
  std::string executable_folder;  // where this program is
  std::string working_folder;     // where relative paths begin
  int32_t cores = 1;
};

// A model to serve, by workers of its own.
struct ServedModel {
  std::string name;  // what clients ask for
  std::string path;  // a GGUF file, or a Hugging Face folder
};

struct ServeOptions {
  std::vector<ServedModel> models;
  bool no_model = false;  // none is served here, only elsewhere
  ProviderFlags providers;
  SpillPolicy spill;
  int32_t workers = 1;                         // of each model
  std::vector<std::string> workers_elsewhere;  // gRPC targets of workers that run already
  // PEM files of the TLS to those at TCP addresses; all or none.
  std::string worker_tls_certificate;
  std::string worker_tls_key;
  std::string worker_tls_authority;
  // HOST:PORT. With a certificate they speak TLS, but those written http://HOST:PORT.
  std::vector<std::string> listen = {"127.0.0.1:8080"};
  // HOST:PORT of the listener that stands in for an Ollama; empty: none. Without tokens on this
  // machine's own addresses, with them on others. Never TLS.
  std::string ollama;
  std::string grpc;             // HOST:PORT of proto/inference.proto; empty: nowhere
  std::string tls_certificate;  // PEM files; both or none
  std::string tls_key;
  bool no_auth = false;
  bool allow_open_access = false;
  std::vector<std::string> trusted_proxies;  // networks
  std::string data_folder;
  int32_t worker_threads = 0;  // 0: the cores divided by all workers
  std::string worker_device;   // as spillway-worker's --device has it; empty: its default
  int32_t http_threads = 1;
  std::string worker_binary;
  std::vector<std::string> worker_arguments;  // passed on as they are
  std::vector<std::string> token_sha256;
  std::string token_sha256_file;
  std::string runtime_parent;  // of the folder for the workers' sockets
  absl::Duration drain_delay = absl::Seconds(5);
  absl::Duration grace = absl::Seconds(30);
  absl::Duration stream_begin = absl::Seconds(20);  // after a request was accepted, at the latest
  absl::Duration keep_alive = absl::Seconds(15);
  std::string otlp_endpoint;  // URL that spans are sent to; empty: nowhere
  bool verbose = false;
  std::string config;              // file that says what flags don't; empty: none
  std::vector<std::string> given;  // flags that were on the command line, such as "--listen"
};

// What a token command says about a token's limits, as it was written; nullopt: nothing, so that it
// stays as it is.
struct TokenChange {
  std::optional<std::vector<std::string>> models;    // {"any"}: all
  std::optional<std::vector<std::string>> aliases;   // "NAME=MODEL"; {"none"}
  std::optional<std::vector<std::string>> networks;  // {"any"}
  std::optional<std::string> expires;                // "30d", "2026-12-31", "never"
  // 0: no limit.
  std::optional<int64_t> requests_per_minute;
  std::optional<int64_t> tokens_per_minute;
  std::optional<int64_t> requests_per_day;
  std::optional<int64_t> tokens_per_day;
  std::optional<int64_t> concurrency;
  std::optional<std::string> budget_per_day;  // "10 CNY"; "none"
  std::optional<std::string> budget_per_month;
};

struct TokenCommand {
  enum class Action { kCreate, kList, kShow, kChange, kRotate, kRevoke };
  Action action = Action::kList;
  std::string name;  // but for kCreate: or the id
  std::string tenant;
  std::string data_folder;
  TokenChange change = {};
  bool eas_signature = false;  // of kCreate
  std::string grace = "24h";   // of kRotate: how long the old secret stays valid
};

struct UsageCommand {
  std::vector<std::string> by;  // "day", "minute", "token", "service", "upstream"
  std::string since = "30d";    // or a day: "2026-11-01"
  std::string token;            // a name or id; empty: all
  bool csv = false;
  std::string data_folder;
};

struct ConfigCommand {
  enum class Action { kCheck, kSchema };
  Action action = Action::kSchema;
  std::string path;
};

// Nothing to run: help, a version or a mistake was shown.
struct Exit {
  int code = 0;
  std::string out;    // for stdout
  std::string error;  // for stderr
};

using Command = std::variant<ServeOptions, TokenCommand, UsageCommand, StatusCommand, ChatCommand,
                             ConfigCommand, Exit>;

// Reads the command line; touches nothing but memory.
Command ParseCommandLine(int argc, const char* const* argv, const Environment& environment);

// INVALID_ARGUMENT when options contradict one another or would open the server to strangers.
absl::Status CheckServeOptions(const ServeOptions& options);

// What one --listen says.
struct ListenAddress {
  std::string address;  // HOST:PORT
  bool tls = false;
};
ListenAddress ParseListenAddress(const std::string& text, bool have_certificate);

// Whether only this machine can connect to "HOST:PORT".
bool IsLoopbackAddress(const std::string& address);

}  // namespace spillway
