#include "server/telemetry/span_exporter.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "nlohmann/json.hpp"
#include "server/http/trace_context.h"

namespace spillway {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kServerSpan = 2;
constexpr int kErrorStatus = 2;
constexpr size_t kTraceIdDigits = 32;
constexpr size_t kSpanIdDigits = 16;

class Attributes {
 public:
  void Add(const char* key, std::string_view value) {
    if (!value.empty()) list_.push_back({{"key", key}, {"value", {{"stringValue", value}}}});
  }
  // OTLP writes 64-bit integers as strings.
  void Add(const char* key, int64_t value) {
    list_.push_back({{"key", key}, {"value", {{"intValue", std::to_string(value)}}}});
  }
  void Add(const char* key, std::optional<absl::Duration> value) {
    if (!value) return;
    list_.push_back({{"key", key}, {"value", {{"doubleValue", absl::ToDoubleSeconds(*value)}}}});
  }
  Json Take() { return std::move(list_); }

 private:
  Json list_ = Json::array();
};

}  // namespace

std::string FormatSpan(const RequestSummary& summary, absl::Time ended, const std::string& span_id,
                       const std::string& trace_id) {
  const bool has_parent = !summary.traceparent.empty();
  Attributes attributes;
  attributes.Add("gen_ai.request.model", summary.service);
  attributes.Add("gen_ai.usage.input_tokens", int64_t{summary.prompt_tokens});
  attributes.Add("gen_ai.usage.output_tokens", int64_t{summary.completion_tokens});
  attributes.Add("http.response.status_code", int64_t{summary.http_status});
  attributes.Add("spillway.request_id", summary.request_id);
  attributes.Add("spillway.token", summary.token);
  attributes.Add("spillway.upstream", summary.replica);
  attributes.Add("spillway.cached_tokens", int64_t{summary.cached_tokens});
  attributes.Add("spillway.finish",
                 summary.outcome == "finished" ? summary.finish : summary.outcome);
  attributes.Add("spillway.resumes", int64_t{summary.resumes});
  attributes.Add("spillway.queue_seconds", summary.queued);
  attributes.Add("spillway.ttft_seconds", summary.to_text);
  Json span = {{"traceId", has_parent ? TraceIdOf(summary.traceparent) : trace_id},
               {"spanId", span_id}};
  if (has_parent) span["parentSpanId"] = ParentIdOf(summary.traceparent);
  span["name"] = absl::StrCat("generate ", std::string(summary.service));
  span["kind"] = kServerSpan;
  span["startTimeUnixNano"] = std::to_string(absl::ToUnixNanos(ended - summary.took));
  span["endTimeUnixNano"] = std::to_string(absl::ToUnixNanos(ended));
  span["attributes"] = attributes.Take();
  span["status"] = summary.http_status >= 500 ? Json{{"code", kErrorStatus}} : Json::object();
  return span.dump(-1, ' ', false, Json::error_handler_t::replace);
}

SpanExporter::SpanExporter(const Clock& clock, MetricRegistry& metrics, uint64_t id_seed, Send send,
                           const SpanExporterLimits& limits)
    : clock_(clock),
      send_(std::move(send)),
      limits_(limits),
      sent_(metrics.GetCounter("spillway_spans_sent_total", "Spans that a collector took.")),
      dropped_(metrics.GetCounter("spillway_spans_dropped_total",
                                  "Spans that no collector took, or too slowly.")),
      ids_(id_seed),
      spans_(static_cast<size_t>(limits.spans_max)),
      thread_([this] { Run(); }) {}

SpanExporter::~SpanExporter() {
  closing_ = true;
  spans_.Close();
  thread_.join();
}

void SpanExporter::OnRequestEnd(const RequestSummary& summary) {
  if (!summary.traceparent.empty() && !IsSampled(summary.traceparent)) return;
  std::string digits;
  {
    MutexLock lock(mutex_);
    digits = absl::StrCat(ids_.Next(), ids_.Next());
  }
  const std::string span = FormatSpan(summary, clock_.WallNow(), digits.substr(0, kSpanIdDigits),
                                      digits.substr(kSpanIdDigits, kTraceIdDigits));
  if (!spans_.TryPush(std::string(span))) dropped_.Add();
}

void SpanExporter::Run() {
  std::vector<std::string> spans;
  bool open = true;
  while (open) {
    open = spans_.PopAll(spans, limits_.batch_every);
    while (!spans.empty()) {
      const auto count = std::min(spans.size(), static_cast<size_t>(limits_.batch_max));
      const auto end = spans.begin() + static_cast<std::ptrdiff_t>(count);
      SendBatch({std::make_move_iterator(spans.begin()), std::make_move_iterator(end)});
      spans.erase(spans.begin(), end);
    }
  }
}

void SpanExporter::SendBatch(const std::vector<std::string>& spans) {
  if (closing_ && failing_) {  // The end doesn't wait for each batch to fail.
    dropped_.Add(static_cast<double>(spans.size()));
    return;
  }
  std::string body =
      R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":)"
      R"({"stringValue":"spillway"}}]},"scopeSpans":[{"scope":{"name":"spillway"},"spans":[)";
  for (const std::string& span : spans) {
    if (body.back() != '[') body += ',';
    body += span;
  }
  body += "]}]}]}";
  const absl::Status status = send_(body);
  (status.ok() ? sent_ : dropped_).Add(static_cast<double>(spans.size()));
  // Once, and not for each batch.
  if (!status.ok() && !failing_) {
    LogWarning(absl::StrCat("spans are dropped: ", status.message()));
  } else if (status.ok() && failing_) {
    LogInfo("spans are taken again");
  }
  failing_ = !status.ok();
}

}  // namespace spillway
