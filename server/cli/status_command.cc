#include "server/cli/status_command.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/cli/chat_answer.h"
#include "server/http/http_client.h"

namespace spillway {
namespace {

using Json = nlohmann::json;
using Row = std::vector<std::string>;

constexpr absl::Duration kSilenceMax = absl::Seconds(10);
constexpr double kUpSecondsMax = 1e12;  // whoever tells more isn't believed

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}
double Number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}
bool IsTrue(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}
// The objects of the array at `key`.
std::vector<Json> Objects(const Json& object, const char* key) {
  std::vector<Json> objects;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return objects;
  std::copy_if(found->begin(), found->end(), std::back_inserter(objects),
               [](const Json& entry) { return entry.is_object(); });
  return objects;
}

std::string Percent(double part, double whole) {
  return whole > 0 ? absl::StrFormat("%.0f %%", 100 * part / whole) : "-";
}
std::string OrDash(double value, int digits, const char* unit) {
  return value > 0 ? absl::StrFormat("%.*f%s", digits, value, unit) : "-";
}
std::string OfLimit(double value, double limit) {
  return absl::StrFormat("%.0f/%.0f", value, limit);
}

// "3 d 4 h", "5 min"
std::string Uptime(int64_t seconds) {
  const int64_t minutes = seconds / 60;
  const int64_t hours = minutes / 60;
  if (minutes == 0) return absl::StrCat(seconds, " s");
  if (hours == 0) return absl::StrCat(minutes, " min");
  if (hours < 24) return absl::StrCat(hours, " h ", minutes % 60, " min");
  return absl::StrCat(hours / 24, " d ", hours % 24, " h");
}

Row ReplicaRow(const Json& replica) {
  const std::string name = Text(replica, "name");
  const std::string model = Text(replica, "model");
  if (!IsTrue(replica, "ready")) {
    const std::string reason = Text(replica, "reason");
    return {name, model.empty() ? "-" : model, reason.empty() ? "not ready" : reason};
  }
  const double blocks = Number(replica, "kv_blocks_total");
  return {name,
          model,
          "ready",
          OfLimit(Number(replica, "running"), Number(replica, "running_max")),
          OfLimit(Number(replica, "waiting"), Number(replica, "waiting_max")),
          Percent(blocks - Number(replica, "kv_blocks_free"), blocks),
          OrDash(Number(replica, "step_ms"), 1, " ms"),
          OrDash(Number(replica, "prefill_tokens_per_s"), 0, "/s"),
          OrDash(Number(replica, "decode_tokens_per_s"), 0, "/s")};
}

std::string ProviderLine(const Json& provider) {
  std::string line = absl::StrCat("provider: ", Text(provider, "name"), ", ");
  if (IsTrue(provider, "any_model")) {
    line += "any model";
  } else {
    absl::StrAppend(&line, Number(provider, "models"), " models");
  }
  const char* separator = "; not asked for a while: ";
  for (const Json& shunned : Objects(provider, "shunned")) {
    const std::string model = Text(shunned, "model");
    absl::StrAppend(&line, separator, model.empty() ? "all of it" : model, " (",
                    Text(shunned, "reason"), ", ", Number(shunned, "retry_in_seconds"), " s)");
    separator = ", ";
  }
  return line + "\n";
}

std::string Table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    // The last cell of a row reaches as far as it likes.
    for (size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] + 2 - row[i].size(), ' ');
    }
    text += '\n';
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> RunStatus(const StatusCommand& command) {
  ASSIGN_OR_RETURN(BaseUrl url, ParseBaseUrl(command.server.url));
  url.path.clear();  // "/v1" is OpenAI's API
  ASSIGN_OR_RETURN(std::vector<HttpHeader> headers, AccessHeaders(command.server));
  HttpClient client(std::move(url), {.silence_max = kSilenceMax});
  ASSIGN_OR_RETURN(const HttpReply reply,
                   client.Ask({.path = "/status", .headers = std::move(headers)}));
  if (reply.status != 200) return absl::UnavailableError(ErrorMessage(reply.status, reply.body));
  if (command.json) return reply.body;
  ASSIGN_OR_RETURN(const std::string text, FormatStatus(reply.body));
  return absl::StrCat(command.server.url, ": ", text);
}

absl::StatusOr<std::string> FormatStatus(const std::string& json) {
  const Json status = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!status.is_object() || !status.contains("replicas")) {
    return absl::InvalidArgumentError("what answers there is no Spillway");
  }
  std::string text = absl::StrCat(
      "spillway ", Text(status, "version"), ", up ",
      Uptime(static_cast<int64_t>(std::clamp(Number(status, "up_seconds"), 0.0, kUpSecondsMax))),
      IsTrue(status, "draining") ? ", shutting down: running answers end, no new ones begin" : "",
      "\n");
  const std::vector<Json> replicas = Objects(status, "replicas");
  double running = 0;
  double waiting = 0;
  double blocks = 0;
  double blocks_free = 0;
  std::vector<Row> rows = {
      {"WORKER", "MODEL", "STATE", "RUNNING", "WAITING", "KV USED", "STEP", "PREFILL", "DECODE"}};
  for (const Json& replica : replicas) {
    rows.push_back(ReplicaRow(replica));
    if (!IsTrue(replica, "ready")) continue;
    running += Number(replica, "running");
    waiting += Number(replica, "waiting");
    blocks += Number(replica, "kv_blocks_total");
    blocks_free += Number(replica, "kv_blocks_free");
  }
  absl::StrAppend(&text, "load: ", running, " running, ", waiting, " waiting, KV ",
                  Percent(blocks - blocks_free, blocks), "\n");
  const std::vector<Json> models = Objects(status, "models");
  for (const Json& model : models) {
    absl::StrAppend(&text, "model: ", Text(model, "name"), ", context ",
                    Number(model, "context_tokens_max"), " tokens\n");
  }
  const std::vector<Json> providers = Objects(status, "providers");
  const bool needs_workers = providers.empty() || !replicas.empty();
  if (models.empty() && needs_workers) text += "model: none is ready yet\n";
  for (const Json& provider : providers) text += ProviderLine(provider);
  if (needs_workers) {
    absl::StrAppend(&text, "\n", replicas.empty() ? "there are no workers\n" : Table(rows));
  }
  const auto problems = status.find("problems");
  if (problems == status.end() || !problems->is_array() || problems->empty()) return text;
  text += "\nlast problems, the latest last:\n";
  for (const Json& problem : *problems) {
    if (problem.is_string()) absl::StrAppend(&text, problem.get<std::string>(), "\n");
  }
  return text;
}

}  // namespace spillway
