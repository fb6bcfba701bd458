#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/bounded_queue.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "router/request_observer.h"
#include "server/http/id_generator.h"

namespace spillway {

// One request as a span of OpenTelemetry: its JSON in OTLP (opentelemetry-proto 1.0,
// trace/v1/trace.proto), with the attributes that the conventions for generative AI name. It
// belongs to the client's trace, or begins one with `trace_id`.
std::string FormatSpan(const RequestSummary& summary, absl::Time ended, const std::string& span_id,
                       const std::string& trace_id);

struct SpanExporterLimits {
  int32_t spans_max = 4096;  // not yet sent; what is over is dropped and counted
  int32_t batch_max = 512;   // sent at once
  absl::Duration batch_every = absl::Seconds(1);
};

// Sends a span for each request to a collector, but for those whose trace the client doesn't
// record. A thread of its own ("spans") sends; what can't be sent is dropped and counted: no
// request waits for a collector.
//
// Thread-safe: all shards share it.
class SpanExporter : public RequestObserver {
 public:
  // Takes the body of a POST to /v1/traces; may block.
  using Send = std::function<absl::Status(const std::string& body)>;

  // `clock` and `metrics` must outlive it.
  SpanExporter(const Clock& clock, MetricRegistry& metrics, uint64_t id_seed, Send send,
               const SpanExporterLimits& limits = {});
  ~SpanExporter() override;  // what is queued is sent before, unless sending fails
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  void OnRequestEnd(const RequestSummary& summary) override;

 private:
  void Run();
  void SendBatch(const std::vector<std::string>& spans);

  const Clock& clock_;
  const Send send_;
  const SpanExporterLimits limits_;
  Counter& sent_;
  Counter& dropped_;
  Mutex mutex_;
  IdGenerator ids_ GUARDED_BY(mutex_);
  BoundedQueue<std::string> spans_;
  std::atomic<bool> closing_ = false;
  bool failing_ = false;  // the thread's own: sending failed last
  std::thread thread_;
};

// Tells several observers, in their order.
class ObserverList : public RequestObserver {
 public:
  // They must outlive it.
  void Add(RequestObserver& observer) { observers_.push_back(&observer); }
  void OnProgress(const RequestProgress& progress) override {
    for (RequestObserver* observer : observers_) observer->OnProgress(progress);
  }
  void OnRequestEnd(const RequestSummary& summary) override {
    for (RequestObserver* observer : observers_) observer->OnRequestEnd(summary);
  }

 private:
  std::vector<RequestObserver*> observers_;
};

}  // namespace spillway
