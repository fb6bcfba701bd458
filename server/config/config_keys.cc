#include "server/config/config_keys.h"

#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace spillway {
namespace {

using Type = ConfigType;

// clang-format off
constexpr std::array kKeys = {
    ConfigKey{"listen", "--listen", Type::kTexts, "Where to serve HTTP: HOST:PORT, or http://HOST:PORT for one without TLS where there is a certificate"},
    ConfigKey{"ollama", "--ollama", Type::kText, "HOST:PORT of a listener that stands in for an Ollama"},
    ConfigKey{"grpc", "--grpc", Type::kText, "HOST:PORT of a listener that speaks gRPC"},
    ConfigKey{"no_auth", "--no-auth", Type::kSwitch, "Ask for no token; only for addresses of this machine"},
    ConfigKey{"allow_open_access", "--allow-open-access", Type::kSwitch, "With no_auth, everybody who can reach other addresses may use this server"},
    ConfigKey{"trusted_proxies", "--trusted-proxy", Type::kTexts, "Networks of proxies in front, such as 10.0.0.0/8; only from there X-Forwarded-For is believed"},
    ConfigKey{"tls.cert", "--tls-cert", Type::kText, "PEM file with the server's certificate and those between it and a root; a new file is taken up within seconds"},
    ConfigKey{"tls.key", "--tls-key", Type::kText, "PEM file with its key"},
    ConfigKey{"tokens.sha256", "--token-sha256", Type::kTexts, "SHA-256, in hex, of tokens to accept besides the stored ones", 0, 0, true},
    ConfigKey{"tokens.sha256_file", "--token-sha256-file", Type::kText, "File of such hashes, one a line; a new one is taken up within seconds"},
    ConfigKey{"data_dir", "--data-dir", Type::kText, "Folder of the store: tokens, books, budgets"},
    ConfigKey{"http_threads", "--http-threads", Type::kInteger, "Threads that serve HTTP", 1, 256},
    ConfigKey{"models", "--model", Type::kModels, "Models to serve, each with workers of its own: GGUF files or Hugging Face folders"},
    ConfigKey{"workers", "--workers", Type::kInteger, "Worker processes to start for each model", 0, 64},
    ConfigKey{"worker.addresses", "--worker", Type::kTexts, "Workers that run already: unix:PATH or HOST:PORT"},
    ConfigKey{"worker.threads", "--threads", Type::kInteger, "CPU threads of each worker; 0: the cores divided by all workers", 0, 1024},
    ConfigKey{"worker.device", "--device", Type::kText, "What workers run on: auto, cpu, cuda or cuda:N"},
    ConfigKey{"worker.binary", "--worker-binary", Type::kText, "The worker program"},
    ConfigKey{"worker.arguments", "--worker-arg", Type::kTexts, "Arguments to pass on to each worker, such as --kv-memory=1GB"},
    ConfigKey{"worker.tls_cert", "--worker-tls-cert", Type::kText, "PEM file with the certificate that this server shows to workers at HOST:PORT"},
    ConfigKey{"worker.tls_key", "--worker-tls-key", Type::kText, "PEM file with its key"},
    ConfigKey{"worker.tls_ca", "--worker-tls-ca", Type::kText, "PEM file with the roots that workers' certificates come from"},
    ConfigKey{"no_model", "--no-model", Type::kSwitch, "Serve no model here, only those of providers"},
    ConfigKey{"providers.names", "--provider", Type::kTexts, "Providers that models are asked of elsewhere, in their order: bailian, or bailian=URL"},
    ConfigKey{"providers.upstreams", "--upstream", Type::kTexts, "The same of any server with OpenAI's API: URL, or NAME=URL"},
    ConfigKey{"providers.upstream_key_file", "--upstream-key-file", Type::kText, "File whose first line is the key for each upstream"},
    ConfigKey{"providers.upstream_key_env", "--upstream-key-env", Type::kText, "The variable of the environment that holds it"},
    ConfigKey{"providers.models", "--provider-model", Type::kTexts, "Names that clients use for models of providers: NAME=THEIRS, or PROVIDER:NAME=THEIRS"},
    ConfigKey{"providers.prices", "--provider-price", Type::kTexts, "What 1,000,000 tokens cost: NAME=INPUT/OUTPUT, then maybe /CACHED and /THINKING; PROVIDER: before it means one of them"},
    ConfigKey{"providers.currency", "--provider-currency", Type::kText, "The currency of all these prices"},
    ConfigKey{"providers.requests_per_minute", "--provider-rpm", Type::kInteger, "Requests a minute that each provider takes of each model", 1, 1099511627776},
    ConfigKey{"providers.tokens_per_minute", "--provider-tpm", Type::kInteger, "The same in tokens", 1, 1099511627776},
    ConfigKey{"spill.policy", "--spill", Type::kText, "Whether requests for models that are served here go to providers: never, when_exhausted or prefer"},
    ConfigKey{"spill.after_ms", "--spill-after", Type::kInteger, "Milliseconds; who would wait longer for a worker, or does, goes there, too", 1, 2147483648},
    ConfigKey{"stream.begin", "--stream-begin", Type::kSeconds, "Seconds after which a stream that waits for its turn gets its status 200 all the same", 0.1, 3600},
    ConfigKey{"stream.keep_alive", "--keep-alive", Type::kSeconds, "Seconds of silence after which a stream gets a comment", 0.1, 3600},
    ConfigKey{"shutdown.drain_delay", "--drain-delay", Type::kSeconds, "Seconds to go on serving after SIGTERM with /readyz false", 0, 3600},
    ConfigKey{"shutdown.grace", "--grace", Type::kSeconds, "Seconds that running answers then have to end", 0, 3600},
    ConfigKey{"otlp_endpoint", "--otlp-endpoint", Type::kText, "URL of a collector for OpenTelemetry spans, without its /v1/traces"},
    ConfigKey{"verbose", "--verbose", Type::kSwitch, "Log more"},
};
// clang-format on

nlohmann::json TextsOrNamed(const char* member) {
  nlohmann::json named = {
      {"type", "object"},
      {"required", {member}},
      {"additionalProperties", false},
      {"properties", {{"name", {{"type", "string"}}}, {member, {{"type", "string"}}}}}};
  return {{"type", "array"}, {"items", {{"anyOf", {{{"type", "string"}}, named}}}}};
}

nlohmann::json SchemaOf(const ConfigKey& key) {
  nlohmann::json schema;
  switch (key.type) {
    case Type::kText:
      schema = {{"type", "string"}};
      break;
    case Type::kSwitch:
      schema = {{"type", "boolean"}};
      break;
    case Type::kInteger:
      schema = {{"type", "integer"}, {"minimum", key.min}, {"maximum", key.max}};
      break;
    case Type::kSeconds:
      schema = {{"type", "number"}, {"minimum", key.min}, {"maximum", key.max}};
      break;
    case Type::kTexts:
      schema = {
          {"anyOf", {{{"type", "string"}}, {{"type", "array"}, {"items", {{"type", "string"}}}}}}};
      break;
    case Type::kModels:
      schema = TextsOrNamed("path");
      break;
  }
  schema["description"] = std::string(key.help);
  return schema;
}

}  // namespace

std::span<const ConfigKey> ConfigKeys() { return kKeys; }

std::string DescribeType(const ConfigKey& key) {
  switch (key.type) {
    case Type::kText:
      return "text";
    case Type::kSwitch:
      return "true or false";
    case Type::kInteger:
      return absl::StrCat("a whole number from ", static_cast<int64_t>(key.min), " to ",
                          static_cast<int64_t>(key.max));
    case Type::kSeconds:
      return absl::StrCat("a number of seconds from ", key.min, " to ", key.max);
    case Type::kTexts:
      return "a text, or a list of texts";
    case Type::kModels:
      return "a list of texts \"NAME=PATH\", or of {name, path}";
  }
  return "";
}

std::string ConfigSchema() {
  nlohmann::json properties = nlohmann::json::object();
  for (const ConfigKey& key : kKeys) {
    const size_t dot = key.path.find('.');
    if (dot == std::string_view::npos) {
      properties[std::string(key.path)] = SchemaOf(key);
      continue;
    }
    nlohmann::json& section = properties[std::string(key.path.substr(0, dot))];
    section["type"] = "object";
    section["additionalProperties"] = false;
    section["properties"][std::string(key.path.substr(dot + 1))] = SchemaOf(key);
  }
  const nlohmann::json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"},
                                 {"title", "spillway.yaml"},
                                 {"type", "object"},
                                 {"additionalProperties", false},
                                 {"properties", properties}};
  return schema.dump(2) + "\n";
}

}  // namespace spillway
