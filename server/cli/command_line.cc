#include "server/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/model_name.h"
#include "common/status_macros.h"
#include "router/service.h"
#include "server/http/http_client.h"
#include "server/http/ip_address.h"

#ifndef SPILLWAY_VERSION
#define SPILLWAY_VERSION "unknown"
#endif

namespace spillway {
namespace {

constexpr int32_t kHttpThreadsDefaultMax = 8;
constexpr size_t kModelNameBytesMax = 128;
constexpr char kOllamaAddress[] = "127.0.0.1:11434";  // Ollama's own
constexpr char kGrpcAddress[] = "127.0.0.1:50051";
constexpr char kDefaultUrl[] = "http://127.0.0.1:8080";

// What stands under the options of each command.
constexpr char kServeManual[] =
    "Prints \"listening on URL\" once it takes connections and \"ready: model NAME\" for each "
    "model\n"
    "once it answers. Logs go to stderr: one line for each request, never a prompt or a token.\n"
    "\n"
    "Signals: SIGTERM and SIGINT let running answers end, a second one doesn't; SIGHUP reads\n"
    "certificate, token and configuration files again.\n"
    "Exit status: 0 after a signal; 1 with the reason on stderr when it can't start or a model\n"
    "can't be loaded.\n"
    "\n"
    "Paths: /v1/… (OpenAI's API; /v1/messages: Anthropic's), /api/… (Ollama's), /healthz (it\n"
    "runs), /readyz (a model answers), /metrics, /status (for spillway status).\n"
    "\n"
    "Examples:\n"
    "  spillway serve --model smollm2.gguf\n"
    "  spillway serve --model big=/models/Qwen3-8B --model small=smollm2.gguf --workers 2\n"
    "  spillway serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem\n"
    "  spillway serve --config spillway.yaml\n"
    "  DASHSCOPE_API_KEY=sk-… spillway serve --provider bailian --no-model\n"
    "  spillway serve --upstream http://127.0.0.1:8000    tokens and metrics before a vLLM\n"
    "  spillway serve --ollama    also at 127.0.0.1:11434, as an Ollama\n"
    "  spillway serve --listen 127.0.0.1:8080 --trusted-proxy 127.0.0.1    behind nginx\n"
    "\n"
    "docs/front_door.md tells of listeners, proxies and limits, docs/metrics.md of /metrics.";
constexpr char kTokenManual[] =
    "A token is what clients send as \"Authorization: Bearer TOKEN\". Only its SHA-256 is kept.\n"
    "A server that runs takes up what changes within a second.\n"
    "\n"
    "Who is over a limit gets status 429, the limit's name and when to come again. Tokens are\n"
    "reserved before a request (its prompt, and max_tokens up to 4096) and counted after it: what\n"
    "was not delivered is not counted.\n"
    "\n"
    "Examples:\n"
    "  spillway token create open-webui\n"
    "  spillway token create ci --requests-per-minute 60 --tokens-per-day 1000000 --expires 30d\n"
    "  spillway token create old-app --alias gpt-4=qwen3-8b --network 10.0.0.0/8\n"
    "  spillway token change ci --tokens-per-day 0\n"
    "  spillway token rotate ci --grace 1h\n"
    "  spillway token list\n"
    "  spillway token revoke open-webui";
constexpr char kConfigManual[] =
    "A configuration file (spillway.yaml) says what flags of `spillway serve` say; docs/config.md\n"
    "has its keys.\n"
    "\n"
    "Exit status: 0; 1 with all mistakes on stderr.\n"
    "\n"
    "Examples:\n"
    "  spillway config check spillway.yaml\n"
    "  spillway config schema > spillway.schema.json\n"
    "  spillway serve --config spillway.yaml";
constexpr char kUsageManual[] =
    "Shows what was used, from the books that servers on this data folder keep; they are at most "
    "a\n"
    "second behind. What was not delivered is not in them: who got nothing owes nothing. FAILED "
    "are\n"
    "requests that were refused or broke. UPSTREAM is \"local\", or the provider that answered.\n"
    "\n"
    "Examples:\n"
    "  spillway usage\n"
    "  spillway usage --by day,token --since 2026-11-01 --csv\n"
    "  spillway usage --by minute --token ci --since 1d";
constexpr char kStatusManual[] =
    "Shows the server's load, its models, each worker with its sequences (running and waiting,\n"
    "of how many), KV memory, time of a step and speed (tokens/s), and the last warnings and\n"
    "errors of its log. From this machine no token is needed, from elsewhere one is.\n"
    "\n"
    "Exit status: 0; 1 when no server answers or it refuses.\n"
    "\n"
    "Examples:\n"
    "  spillway status\n"
    "  watch --interval 1 spillway status\n"
    "  SPILLWAY_TOKEN=sk-… spillway status --url https://llm.example.com";
constexpr char kChatManual[] =
    "Talks to any server with OpenAI's chat API and shows answers as they come. Without a\n"
    "message it holds a conversation on a terminal, or reads one message from a pipe; there\n"
    "/clear begins anew, Ctrl-C stops an answer, Ctrl-D ends. The answer alone goes to stdout,\n"
    "thoughts are shown on terminals only.\n"
    "\n"
    "A URL without a path means its /v1. SSL_CERT_FILE names further certificates to trust.\n"
    "Exit status: 0; 1 when the answer isn't whole, with the reason on stderr.\n"
    "\n"
    "Examples:\n"
    "  spillway chat\n"
    "  spillway chat --model small What is a spillway?\n"
    "  git diff | spillway chat --system \"Review this change.\"\n"
    "  OPENAI_API_KEY=sk-… spillway chat --url https://dashscope.aliyuncs.com/compatible-mode/v1 "
    "--model qwen-plus";

std::string StateFolder(const Environment& environment) {
  if (!environment.xdg_state_home.empty()) return environment.xdg_state_home + "/spillway";
  return environment.home + "/.local/state/spillway";
}

std::string DefaultModel(const Environment& environment) {
  if (!environment.default_model.empty()) return environment.default_model;
  const std::string cache = environment.xdg_cache_home.empty() ? environment.home + "/.cache"
                                                               : environment.xdg_cache_home;
  return cache + "/spillway/models/SmolLM2-135M-Instruct.Q4_1.gguf";
}

// Seconds as people write them: "5", "0.5".
struct Seconds {
  double drain_delay = 5;
  double grace = 30;
  double stream_begin = 20;
  double keep_alive = 15;
};

// "NAME=PATH" or "PATH". A path whose first part has a "=" in it is written "./PATH".
ServedModel ModelFromFlag(const std::string& flag) {
  const size_t equals = flag.find('=');
  if (equals == std::string::npos || flag.substr(0, equals).find('/') != std::string::npos) {
    return {.name = "", .path = flag};
  }
  return {.name = flag.substr(0, equals), .path = flag.substr(equals + 1)};
}

// As they are on the command line.
struct ModelFlags {
  std::vector<std::string> models;
  std::string name;
};

void AddWorkerOptions(CLI::App& serve, ModelFlags& models, ServeOptions& options) {
  serve
      .add_option(
          "--model", models.models,
          "GGUF file or Hugging Face folder to serve; repeatable, each with workers of\n"
          "its own. NAME=PATH says what clients ask for; without, the path gives the name.\n"
          "Default: $SPILLWAY_MODEL, else\n"
          "~/.cache/spillway/models/SmolLM2-135M-Instruct.Q4_1.gguf")
      ->type_name("[NAME=]PATH")
      ->allow_extra_args(false);
  serve.add_option("--model-name", models.name, "Name that clients ask for, of the only model")
      ->type_name("NAME");
  serve.add_option("--workers", options.workers, "Worker processes to start for each model")
      ->check(CLI::Range(0, 64).description(""))
      ->type_name("N")
      ->capture_default_str();
  serve
      .add_option("--worker", options.workers_elsewhere,
                  "A worker that runs already, by gRPC address (unix:PATH or HOST:PORT);\n"
                  "repeatable. It outlives this server and is found again by the next one.\n"
                  "Without --workers none is started here then")
      ->type_name("ADDRESS");
  serve
      .add_option("--worker-tls-cert", options.worker_tls_certificate,
                  "PEM file with the certificate that this server shows to workers at HOST:PORT:\n"
                  "with it, and the next two, it talks to them by TLS alone. A new file is taken\n"
                  "up within seconds")
      ->type_name("FILE");
  serve
      .add_option("--worker-tls-key", options.worker_tls_key,
                  "PEM file with its key, without a passphrase")
      ->type_name("FILE");
  serve
      .add_option("--worker-tls-ca", options.worker_tls_authority,
                  "PEM file with the roots that workers' certificates come from")
      ->type_name("FILE");
  serve
      .add_option("--threads", options.worker_threads,
                  "CPU threads of each worker. Default: the cores divided by all workers")
      ->check(CLI::Range(0, 1024).description(""))
      ->type_name("N");
  serve
      .add_option("--device", options.worker_device,
                  "What workers run on: auto, cpu, cuda or cuda:N. Default: auto, a GPU if there\n"
                  "is one that can be used")
      ->type_name("DEVICE");
  serve
      .add_option("--worker-binary", options.worker_binary,
                  "The worker program. Default: spillway-worker beside this program")
      ->type_name("PATH");
  serve
      .add_option("--worker-arg", options.worker_arguments,
                  "An argument to pass on to each worker, such as --worker-arg=--kv-memory=1GB;\n"
                  "repeatable")
      ->type_name("ARG");
}

void AddProviderOptions(CLI::App& serve, ServeOptions& options) {
  ProviderFlags& flags = options.providers;
  serve
      .add_option("--provider", flags.providers,
                  "A provider that models are asked of elsewhere: bailian, with its key in\n"
                  "$DASHSCOPE_API_KEY; =URL where its API begins elsewhere (another region, a\n"
                  "workspace). Repeatable; asked in their order")
      ->type_name("NAME[=URL]")
      ->allow_extra_args(false);
  serve
      .add_option(
          "--upstream", flags.upstreams,
          "The same of any server with OpenAI's API (vLLM, Ollama, one-api, another\n"
          "Spillway): http://HOST:PORT, its /v1 if no path is said. Repeatable; asked after\n"
          "the providers. Without --model none is served here then")
      ->type_name("[NAME=]URL")
      ->allow_extra_args(false);
  serve
      .add_option(
          "--provider-model", flags.models,
          "A model that clients call NAME and providers THEIRS; repeatable. PROVIDER: before\n"
          "it means one of them. A provider without any gets all names as they are, but\n"
          "those of models that are served here")
      ->type_name("[PROVIDER:]NAME=THEIRS")
      ->allow_extra_args(false);
  serve
      .add_option("--upstream-key-file", flags.upstream_key_file,
                  "File whose first line is the key for each --upstream. Default: none is sent")
      ->type_name("FILE");
  serve
      .add_option("--upstream-key-env", flags.upstream_key_variable,
                  "The variable of the environment that holds it")
      ->type_name("NAME");
  serve
      .add_option("--provider-rpm", flags.requests_per_minute,
                  "Requests a minute, and a sixtieth in each second, that each provider takes of\n"
                  "each model; more are not sent. Default: as many as come")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40).description(""))
      ->type_name("N");
  serve.add_option("--provider-tpm", flags.tokens_per_minute, "The same in tokens")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40).description(""))
      ->type_name("N");
  serve
      .add_option("--provider-price", flags.prices,
                  "What providers take for 1,000,000 tokens of a model, by the name that clients\n"
                  "use, such as r1=4/16; CACHED input and THINKING where they differ. Repeatable.\n"
                  "Without it no cost is shown, and nobody who has a budget of money may use it")
      ->type_name("[PROVIDER:]MODEL=INPUT/OUTPUT[/CACHED[/THINKING]]")
      ->allow_extra_args(false);
  serve
      .add_option("--provider-currency", flags.currency,
                  "Of all these prices; budgets must be in the same. Default: CNY")
      ->type_name("CODE");
  serve
      .add_option(
          "--spill", options.spill.mode,
          "Whether requests for a model that is served here go to providers that have it in\n"
          "their --provider-model: never, when_exhausted (no worker is ready, all queues\n"
          "are full, or the wait would be longer than the request's time), or prefer\n"
          "(always, as long as they answer). Clients forbid it by the header\n"
          "X-Spillway-Spill: never. Default: when_exhausted")
      ->transform(CLI::CheckedTransformer(std::map<std::string, SpillMode>{
                                              {"never", SpillMode::kNever},
                                              {"when_exhausted", SpillMode::kWhenExhausted},
                                              {"prefer", SpillMode::kPrefer}})
                      .description(""))
      ->type_name("POLICY");
  serve
      .add_option("--spill-after", flags.spill_after_ms,
                  "They go there, too, that would wait longer than this for a worker, or do.\n"
                  "Default: as long as it takes")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31).description(""))
      ->type_name("MS");
  serve.add_flag("--no-model", options.no_model,
                 "Serve no model here, only those of --provider and --upstream");
}

void AddListenOptions(CLI::App& serve, ServeOptions& options) {
  serve
      .add_option("--listen", options.listen,
                  "Where to serve HTTP; repeatable. Port 0 takes a free one and says which")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  serve
      .add_option("--ollama", options.ollama,
                  "Stand in for an Ollama there, too: its clients find it at its own address, and\n"
                  "need no token on this machine. Without HOST:PORT: at Ollama's own address")
      ->type_name("[HOST:PORT]")
      ->expected(0, 1)
      ->default_str(kOllamaAddress);
  serve
      .add_option(
          "--grpc", options.grpc,
          "Serve gRPC there, too (proto/inference.proto), with the same tokens, and by TLS\n"
          "with --tls-cert. Without HOST:PORT: at 127.0.0.1:50051")
      ->type_name("[HOST:PORT]")
      ->expected(0, 1)
      ->default_str(kGrpcAddress);
  serve
      .add_option("--tls-cert", options.tls_certificate,
                  "PEM file with the server's certificate and those between it and a root: every\n"
                  "--listen speaks TLS then, but those written http://HOST:PORT. A new file is\n"
                  "taken up within seconds; connections that are open keep the old one")
      ->type_name("FILE");
  serve.add_option("--tls-key", options.tls_key, "PEM file with its key, without a passphrase")
      ->type_name("FILE");
  serve.add_flag("--no-auth", options.no_auth,
                 "Ask for no token. Only for addresses of this machine, such as 127.0.0.1");
  serve.add_flag("--allow-open-access", options.allow_open_access,
                 "With --no-auth on other addresses: everybody who can reach them may use this\n"
                 "server without a token");
  serve
      .add_option("--trusted-proxy", options.trusted_proxies,
                  "Network of a proxy in front, such as 127.0.0.1 or 10.0.0.0/8; repeatable.\n"
                  "Only from there X-Forwarded-For tells who the client is")
      ->type_name("CIDR");
  serve
      .add_option("--token-sha256", options.token_sha256,
                  "SHA-256, in hex, of a token to accept besides the stored ones; repeatable")
      ->type_name("HEX");
  serve
      .add_option("--token-sha256-file", options.token_sha256_file,
                  "File of such hashes, one a line")
      ->type_name("FILE");
  serve
      .add_option("--data-dir", options.data_folder,
                  "Folder of the token store. Default: $XDG_STATE_HOME/spillway, else\n"
                  "~/.local/state/spillway")
      ->type_name("DIR");
  serve.add_option("--http-threads", options.http_threads, "Threads that serve HTTP")
      ->check(CLI::Range(1, 256).description(""))
      ->type_name("N")
      ->capture_default_str();
}

void AddShutdownOptions(CLI::App& serve, Seconds& seconds) {
  serve
      .add_option("--drain-delay", seconds.drain_delay,
                  "Seconds to go on serving after SIGTERM with /readyz false. Ctrl-C skips it")
      ->check(CLI::Range(0.0, 3600.0).description(""))
      ->type_name("SECONDS")
      ->capture_default_str();
  serve
      .add_option("--grace", seconds.grace,
                  "Seconds that running answers then have to end; a second signal skips it")
      ->check(CLI::Range(0.0, 3600.0).description(""))
      ->type_name("SECONDS")
      ->capture_default_str();
}

void AddStreamOptions(CLI::App& serve, Seconds& seconds) {
  serve
      .add_option("--stream-begin", seconds.stream_begin,
                  "Seconds after which a stream that waits for its turn gets its status 200 all\n"
                  "the same, so that no proxy gives up on it; what goes wrong then is an event")
      ->check(CLI::Range(0.1, 3600.0).description(""))
      ->type_name("SECONDS")
      ->capture_default_str();
  serve
      .add_option("--keep-alive", seconds.keep_alive,
                  "Seconds of silence after which a stream gets a comment, and at most as many\n"
                  "again; together they must be less than the time-out of any proxy in front")
      ->check(CLI::Range(0.1, 3600.0).description(""))
      ->type_name("SECONDS")
      ->capture_default_str();
}

// An option that says nothing unless it is given.
template <typename Value>
CLI::Option* AddChange(CLI::App& app, const char* name, std::optional<Value>& value,
                       const char* help) {
  return app.add_option_function<Value>(
      name, [&value](const Value& given) { value = given; }, help);
}

void AddLimitOptions(CLI::App& app, TokenChange& change) {
  AddChange(app, "--model", change.models,
            "A model that it may use, repeatable; the others are not there for it. \"any\": all")
      ->type_name("NAME");
  AddChange(app, "--alias", change.aliases,
            "Another name for a model, for this token alone, such as gpt-4=qwen3-8b; repeatable.\n"
            "\"none\": no more of them")
      ->type_name("NAME=MODEL");
  const auto add_number = [&app](const char* name, std::optional<int64_t>& value,
                                 const char* help) {
    AddChange(app, name, value, help)
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 50).description(""))
        ->type_name("N");
  };
  add_number("--requests-per-minute", change.requests_per_minute,
             "Requests in any 60 seconds. Of this and the next four: 0 is no limit");
  add_number("--tokens-per-minute", change.tokens_per_minute,
             "Tokens of prompts and answers in any 60 seconds");
  add_number("--requests-per-day", change.requests_per_day, "Requests in a day, which is UTC's");
  add_number("--tokens-per-day", change.tokens_per_day, "Tokens in a day");
  add_number("--concurrency", change.concurrency, "Requests at once");
  AddChange(app, "--budget-per-day", change.budget_per_day,
            "What its requests to providers may cost in a day, such as \"2.50 CNY\"; \"none\": no\n"
            "limit")
      ->type_name("MONEY");
  AddChange(app, "--budget-per-month", change.budget_per_month,
            "What they may cost in a month, likewise")
      ->type_name("MONEY");
  AddChange(app, "--expires", change.expires,
            "When it ends: after a time (30d, 12h), at the begin of a day in UTC (2027-01-31), or\n"
            "\"never\"")
      ->type_name("WHEN");
  AddChange(app, "--network", change.networks,
            "Network that it may be used from, such as 10.0.0.0/8; repeatable. Behind a trusted\n"
            "proxy the client's own address counts. \"any\": from everywhere")
      ->type_name("CIDR");
}

void AddTokenOptions(CLI::App& token, TokenCommand& command) {
  const auto add_data_folder = [&command](CLI::App& app) {
    app.add_option("--data-dir", command.data_folder,
                   "Folder of the token store, as for `spillway serve`")
        ->type_name("DIR");
  };
  token.require_subcommand(1);
  token.footer(kTokenManual);
  CLI::App* create =
      token.add_subcommand("create", "Make a token and print it: it is shown only this once");
  create->add_option("name", command.name, "What it is for, e.g. open-webui")->required();
  create->add_option("--tenant", command.tenant, "Whose it is. Default: the name");
  create->add_flag(
      "--eas-signature", command.eas_signature,
      "It may also sign requests, as PAI-EAS's SDKs do instead of sending it. What is\n"
      "kept of it then lets whoever reads the store sign, too (docs/api/eas.md)");
  AddLimitOptions(*create, command.change);
  add_data_folder(*create);
  create->callback([&command] { command.action = TokenCommand::Action::kCreate; });
  CLI::App* list =
      token.add_subcommand("list", "List the tokens; the tokens themselves aren't kept");
  add_data_folder(*list);
  list->callback([&command] { command.action = TokenCommand::Action::kList; });
  CLI::App* show = token.add_subcommand("show", "Show what a token may do");
  show->add_option("token", command.name, "Its name or id")->required();
  add_data_folder(*show);
  show->callback([&command] { command.action = TokenCommand::Action::kShow; });
  CLI::App* change = token.add_subcommand(
      "change", "Change what a token may do: what is given changes, the rest stays");
  change->add_option("token", command.name, "Its name or id")->required();
  AddLimitOptions(*change, command.change);
  add_data_folder(*change);
  change->callback([&command] { command.action = TokenCommand::Action::kChange; });
  CLI::App* rotate = token.add_subcommand(
      "rotate", "Print a new secret for a token; the old one stays valid for a while");
  rotate->add_option("token", command.name, "Its name or id")->required();
  rotate
      ->add_option("--grace", command.grace,
                   "How long the old secret stays valid, such as 15m, 24h, 7d or 0")
      ->type_name("TIME")
      ->capture_default_str();
  add_data_folder(*rotate);
  rotate->callback([&command] { command.action = TokenCommand::Action::kRotate; });
  CLI::App* revoke = token.add_subcommand(
      "revoke", "Make a token invalid; servers that run notice within a second");
  revoke->add_option("token", command.name, "Its name or id")->required();
  add_data_folder(*revoke);
  revoke->callback([&command] { command.action = TokenCommand::Action::kRevoke; });
}

void AddConfigOptions(CLI::App& config, ConfigCommand& command) {
  config.require_subcommand(1);
  config.footer(kConfigManual);
  CLI::App* check = config.add_subcommand(
      "check", "Say all that is wrong with a configuration file; nothing is started");
  check->add_option("file", command.path, "The file")->required()->type_name("FILE");
  check->callback([&command] { command.action = ConfigCommand::Action::kCheck; });
  CLI::App* schema = config.add_subcommand("schema", "Print a JSON schema of it, for editors");
  schema->callback([&command] { command.action = ConfigCommand::Action::kSchema; });
}

void AddUsageOptions(CLI::App& app, UsageCommand& command) {
  app.add_option(
         "--by", command.by,
         "What to sum up by: day, minute (of the last two days), token, service, upstream;\n"
         "repeatable, or with commas. Default: token,service")
      ->delimiter(',')
      ->check(CLI::IsMember({"day", "minute", "token", "service", "upstream"}).description(""))
      ->type_name("WHAT");
  app.add_option("--since", command.since,
                 "From when on: a time such as 7d, or a day such as 2026-11-01; days are UTC's")
      ->type_name("WHEN")
      ->capture_default_str();
  app.add_option("--token", command.token, "Of this token alone, by its name or id")
      ->type_name("NAME");
  app.add_flag("--csv", command.csv, "Comma-separated, for other programs");
  app.add_option("--data-dir", command.data_folder,
                 "Folder of the token store, as for `spillway serve`")
      ->type_name("DIR");
  app.footer(kUsageManual);
}

void AddServerAccess(CLI::App& command, ServerAccess& server) {
  command
      .add_option("--url", server.url,
                  "Where the server is. Default: $OPENAI_BASE_URL, else http://127.0.0.1:8080")
      ->type_name("URL");
  command
      .add_option("--token-file", server.token_file,
                  "File whose first line is the token to send. Default: $SPILLWAY_TOKEN, else\n"
                  "$OPENAI_API_KEY. There is no option for the token itself: everybody on a\n"
                  "machine can read command lines")
      ->type_name("FILE");
}

void AddStatusOptions(CLI::App& app, StatusCommand& command) {
  AddServerAccess(app, command.server);
  app.add_flag("--json", command.json, "Print what the server tells, as it tells it");
  app.footer(kStatusManual);
}

void AddChatOptions(CLI::App& app, ChatCommand& command, std::vector<std::string>& words) {
  app.add_option("message", words, "What to say; its words are joined by spaces")
      ->type_name("WORD");
  AddServerAccess(app, command.server);
  app.add_option("--model", command.chat.model, "Default: the first that the server lists")
      ->type_name("NAME");
  app.add_option("--system", command.chat.system, "The system message")->type_name("TEXT");
  app.add_option("--temperature", command.chat.temperature, "Default: the server's")
      ->check(CLI::Range(0.0, 2.0).description(""))
      ->type_name("T");
  app.add_option("--max-tokens", command.chat.tokens_max, "Tokens that an answer may have")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40).description(""))
      ->type_name("N");
  app.footer(kChatManual);
}

void FillServerAccess(const Environment& environment, ServerAccess& server) {
  if (server.url.empty()) server.url = environment.server_url;
  if (server.url.empty()) server.url = kDefaultUrl;
  server.token = environment.server_token;
}

// The name that the path suggests, whatever folder it is relative to.
std::string NameFor(const std::string& path, const Environment& environment) {
  const std::filesystem::path whole = std::filesystem::path(environment.working_folder) / path;
  return ModelNameFromPath(whole.lexically_normal().string());
}

void FillModels(ModelFlags flags, const Environment& environment, ServeOptions& options) {
  if (options.workers == 0) return;
  if (flags.models.empty()) flags.models.push_back(DefaultModel(environment));
  for (const std::string& flag : flags.models) options.models.push_back(ModelFromFlag(flag));
  if (!flags.name.empty() && options.models.size() == 1) options.models[0].name = flags.name;
  for (ServedModel& model : options.models) {
    if (model.name.empty()) model.name = NameFor(model.path, environment);
  }
}

void FillServeDefaults(const CLI::App& serve, const Seconds& seconds, ModelFlags models,
                       const Environment& environment, ServeOptions& options) {
  options.drain_delay = absl::Seconds(seconds.drain_delay);
  options.grace = absl::Seconds(seconds.grace);
  options.stream_begin = absl::Seconds(seconds.stream_begin);
  options.keep_alive = absl::Seconds(seconds.keep_alive);
  if (options.providers.spill_after_ms > 0) {
    options.spill.after = absl::Milliseconds(options.providers.spill_after_ms);
  }
  if (!options.workers_elsewhere.empty() && serve.count("--workers") == 0) options.workers = 0;
  const bool names_no_model = models.models.empty() && environment.default_model.empty();
  if (!options.providers.upstreams.empty() && names_no_model && options.workers_elsewhere.empty()) {
    options.no_model = true;
  }
  if (options.no_model && models.models.empty()) options.workers = 0;
  FillModels(std::move(models), environment, options);
  if (options.data_folder.empty()) options.data_folder = StateFolder(environment);
  if (options.worker_binary.empty()) {
    options.worker_binary = environment.executable_folder + "/spillway-worker";
  }
  if (options.worker_threads == 0) {
    const auto workers =
        std::max<int32_t>(1, options.workers * static_cast<int32_t>(options.models.size()));
    options.worker_threads = std::max(1, environment.cores / workers);
  }
  options.runtime_parent = environment.xdg_runtime_dir;
  if (serve.count("--otlp-endpoint") == 0) options.otlp_endpoint = environment.otlp_endpoint;
}

// Clients tell models apart by their names, and names as ServiceAlias() compares them.
absl::Status CheckModelNames(const std::vector<ServedModel>& models) {
  for (size_t i = 0; i < models.size(); ++i) {
    if (models[i].name.size() > kModelNameBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("the name of ", models[i].path, " has ", models[i].name.size(),
                       " bytes, beyond the limit of ", kModelNameBytesMax));
    }
    for (size_t j = 0; j < i; ++j) {
      if (ServiceAlias(models[i].name) != ServiceAlias(models[j].name)) continue;
      return absl::InvalidArgumentError(absl::StrCat(models[j].path, " and ", models[i].path,
                                                     " would both be called ", models[i].name,
                                                     "; give them names: --model NAME=PATH"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Command ParseCommandLine(int argc, const char* const* argv, const Environment& environment) {
  CLI::App app(
      "Spillway serves open language models on your own machines behind one\n"
      "OpenAI-compatible endpoint with token auth.",
      "spillway");
  app.set_version_flag("--version", "spillway " SPILLWAY_VERSION);
  app.require_subcommand(1);
  app.footer(
      "`spillway COMMAND --help` is the command's manual.\n"
      "\n"
      "Start here:\n"
      "  spillway token create laptop\n"
      "  spillway serve --model FILE.gguf\n"
      "  SPILLWAY_TOKEN=sk-… spillway chat");

  ServeOptions options;
  ModelFlags models;
  Seconds seconds;
  options.http_threads = std::clamp(environment.cores, 1, kHttpThreadsDefaultMax);
  CLI::App* serve = app.add_subcommand("serve", "Start the workers of this machine and serve HTTP");
  AddWorkerOptions(*serve, models, options);
  AddProviderOptions(*serve, options);
  AddListenOptions(*serve, options);
  AddStreamOptions(*serve, seconds);
  AddShutdownOptions(*serve, seconds);
  serve
      ->add_option(
          "--otlp-endpoint", options.otlp_endpoint,
          "Where to send an OpenTelemetry span of each request, by OTLP over HTTP in JSON:\n"
          "a collector's URL, without its /v1/traces. Default:\n"
          "$OTEL_EXPORTER_OTLP_ENDPOINT, else nowhere")
      ->type_name("URL");
  serve->add_flag("--verbose", options.verbose, "Log more");
  serve
      ->add_option("--config", options.config,
                   "YAML file that says what flags say (docs/config.md); flags win over it")
      ->type_name("FILE");
  serve->footer(kServeManual);
  TokenCommand token;
  CLI::App* token_app = app.add_subcommand("token", "Make, limit, list and revoke clients' tokens");
  AddTokenOptions(*token_app, token);
  ConfigCommand config;
  CLI::App* config_app = app.add_subcommand("config", "Check a configuration file");
  AddConfigOptions(*config_app, config);
  UsageCommand usage;
  CLI::App* usage_app = app.add_subcommand("usage", "Show what tokens have used");
  AddUsageOptions(*usage_app, usage);
  StatusCommand status;
  CLI::App* status_app = app.add_subcommand("status", "Show how a server that runs is");
  AddStatusOptions(*status_app, status);
  ChatCommand chat;
  std::vector<std::string> words;
  CLI::App* chat_app = app.add_subcommand("chat", "Talk to a model");
  AddChatOptions(*chat_app, chat, words);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = app.exit(error, out, err);
    return Exit{code, out.str(), err.str()};
  }
  if (serve->parsed()) {
    if (!models.name.empty() && models.models.size() > 1) {
      return Exit{1, "",
                  "--model-name names the only model; of several, name each: "
                  "--model NAME=PATH\n"};
    }
    for (const CLI::Option* option : serve->get_options()) {
      if (option->count() > 0) options.given.push_back(option->get_name());
    }
    FillServeDefaults(*serve, seconds, std::move(models), environment, options);
    return options;
  }
  if (config_app->parsed()) return config;
  if (usage_app->parsed()) {
    if (usage.by.empty()) usage.by = {"token", "service"};
    if (usage.data_folder.empty()) usage.data_folder = StateFolder(environment);
    return usage;
  }
  if (status_app->parsed()) {
    FillServerAccess(environment, status.server);
    return status;
  }
  if (chat_app->parsed()) {
    FillServerAccess(environment, chat.server);
    chat.message = absl::StrJoin(words, " ");
    return chat;
  }
  if (token.data_folder.empty()) token.data_folder = StateFolder(environment);
  if (token.tenant.empty()) token.tenant = token.name;
  return token;
}

ListenAddress ParseListenAddress(const std::string& text, bool have_certificate) {
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  if (text.rfind(kPlain, 0) == 0) return {text.substr(kPlain.size()), false};
  if (text.rfind(kTls, 0) == 0) return {text.substr(kTls.size()), true};
  return {text, have_certificate};
}

bool IsLoopbackAddress(const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  return host.rfind("127.", 0) == 0 && host.find_first_not_of("0123456789.") == std::string::npos;
}

absl::Status CheckServeOptions(const ServeOptions& options) {
  if (options.no_model && !options.providers.any()) {
    return absl::InvalidArgumentError(
        "--no-model leaves nothing to serve: name a --provider or an --upstream");
  }
  if (options.no_model && (!options.models.empty() || !options.workers_elsewhere.empty())) {
    return absl::InvalidArgumentError("--no-model contradicts --model and --worker");
  }
  if (options.spill.after != absl::InfiniteDuration() &&
      options.spill.after >= options.stream_begin) {
    return absl::InvalidArgumentError(
        "--spill-after must be less than --stream-begin: a stream that has begun stays here");
  }
  if (!options.no_model && options.workers == 0 && options.workers_elsewhere.empty()) {
    return absl::InvalidArgumentError(
        "there would be no worker: give --workers 1 or more, or --worker ADDRESS");
  }
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key belong together: give both");
  }
  const bool worker_tls = !options.worker_tls_certificate.empty();
  if (options.worker_tls_key.empty() == worker_tls ||
      options.worker_tls_authority.empty() == worker_tls) {
    return absl::InvalidArgumentError(
        "--worker-tls-cert, --worker-tls-key and --worker-tls-ca belong together: give all three");
  }
  for (const std::string& listen : options.listen) {
    if (ParseListenAddress(listen, false).tls && options.tls_certificate.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--listen ", listen, " needs --tls-cert FILE and --tls-key FILE"));
    }
  }
  for (const std::string& network : options.trusted_proxies) {
    if (absl::Status status = IpNetwork::Parse(network).status(); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--trusted-proxy ", status.message()));
    }
  }
  if (!options.otlp_endpoint.empty()) {
    if (absl::Status status = ParseBaseUrl(options.otlp_endpoint).status(); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--otlp-endpoint ", status.message()));
    }
  }
  RETURN_IF_ERROR(CheckModelNames(options.models));
  if (!options.no_auth || options.allow_open_access) return absl::OkStatus();
  std::vector<std::string> listeners = options.listen;
  if (!options.ollama.empty()) listeners.push_back(options.ollama);
  if (!options.grpc.empty()) listeners.push_back(options.grpc);
  for (const std::string& listen : listeners) {
    const std::string address = ParseListenAddress(listen, false).address;
    if (!IsLoopbackAddress(address)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--no-auth with --listen ", address,
          " would let everybody who can reach this machine use "
          "it. Leave --no-auth out and make a token (spillway token create NAME), listen on "
          "127.0.0.1, or say --allow-open-access if that is what you want"));
    }
  }
  return absl::OkStatus();
}

}  // namespace spillway
