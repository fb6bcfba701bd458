#include "server/dialects/status_report.h"

#include "absl/strings/str_cat.h"
#include "server/dialects/json_escape.h"

namespace spillway {
namespace {

void AppendText(const char* key, const std::string& text, std::string& out) {
  absl::StrAppend(&out, "\"", key, "\":");
  AppendJsonString(out, text);
}

void AppendReplica(const ReplicaStatus& replica, std::string& out) {
  out += '{';
  AppendText("name", replica.name, out);
  out += ',';
  AppendText("address", replica.address, out);
  out += ',';
  AppendText("model", replica.model, out);
  absl::StrAppend(&out, ",\"ready\":", replica.ready ? "true," : "false,");
  AppendText("reason", replica.reason, out);
  absl::StrAppend(&out, ",\"running\":", replica.running, ",\"running_max\":", replica.running_max,
                  ",\"waiting\":", replica.waiting, ",\"waiting_max\":", replica.waiting_max,
                  ",\"kv_blocks_free\":", replica.kv_blocks_free,
                  ",\"kv_blocks_total\":", replica.kv_blocks_total,
                  ",\"step_ms\":", replica.step_ms,
                  ",\"prefill_tokens_per_s\":", replica.prefill_tokens_per_s,
                  ",\"decode_tokens_per_s\":", replica.decode_tokens_per_s, "}");
}

void AppendProvider(const ProviderStatus& provider, std::string& out) {
  out += '{';
  AppendText("name", provider.name, out);
  absl::StrAppend(&out, ",\"any_model\":", provider.any_model ? "true" : "false",
                  ",\"models\":", provider.models, ",\"shunned\":[");
  const char* separator = "";
  for (const ProviderStatus::Shunned& shunned : provider.shunned) {
    absl::StrAppend(&out, separator, "{");
    AppendText("model", shunned.model, out);
    out += ',';
    AppendText("reason", shunned.reason, out);
    absl::StrAppend(&out, ",\"retry_in_seconds\":",
                    absl::ToInt64Seconds(absl::Ceil(shunned.retry_in, absl::Seconds(1))), "}");
    separator = ",";
  }
  out += "]}";
}

}  // namespace

std::string StatusJson(const StatusReport& report) {
  std::string out = "{";
  AppendText("version", report.version, out);
  absl::StrAppend(&out, ",\"up_seconds\":", absl::ToInt64Seconds(report.up),
                  ",\"draining\":", report.draining ? "true" : "false", ",\"models\":[");
  const char* separator = "";
  for (const ModelInfo& model : report.models) {
    out += separator;
    out += '{';
    AppendText("name", model.name, out);
    absl::StrAppend(&out, ",\"context_tokens_max\":", model.context_tokens_max, "}");
    separator = ",";
  }
  out += "],\"replicas\":[";
  separator = "";
  for (const ReplicaStatus& replica : report.replicas) {
    out += separator;
    AppendReplica(replica, out);
    separator = ",";
  }
  out += "],\"providers\":[";
  separator = "";
  for (const ProviderStatus& provider : report.providers) {
    out += separator;
    AppendProvider(provider, out);
    separator = ",";
  }
  out += "],\"problems\":[";
  separator = "";
  for (const std::string& problem : report.problems) {
    out += separator;
    AppendJsonString(out, problem);
    separator = ",";
  }
  out += "]}\n";
  return out;
}

}  // namespace spillway
