#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "common/bounded_queue.h"
#include "common/logging.h"
#include "common/metrics.h"
#include "router/request_observer.h"

namespace spillway {

// One request as one line of key=value words, which people read and programs cut at spaces
// (docs/front_door.md has the keys). Never a prompt, a token or a key.
std::string FormatRequestLine(const RequestSummary& summary);

struct RequestLogLimits {
  int32_t lines_max = 4096;  // not yet written; what is over is dropped, counted and told
};

// Writes the line of each request, as a warning where it is the server's failure. A thread of its
// own ("log") writes, so that a terminal or a collector that stands still holds up no request.
//
// Thread-safe: all shards share it.
class RequestLog : public RequestObserver {
 public:
  using Write = std::function<void(LogLevel level, std::string_view line)>;

  // `write` is called on the log's thread and may block. `metrics` must outlive it.
  RequestLog(MetricRegistry& metrics, Write write, const RequestLogLimits& limits = {});
  ~RequestLog() override;  // what is queued is written before
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;

  void OnRequestEnd(const RequestSummary& summary) override;

 private:
  struct Line {
    LogLevel level;
    std::string text;
  };

  void Run();

  const Write write_;
  Counter& dropped_total_;
  BoundedQueue<Line> lines_;
  std::atomic<int64_t> dropped_ = 0;  // since it was told last
  std::thread thread_;
};

}  // namespace spillway
