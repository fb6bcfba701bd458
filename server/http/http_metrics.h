#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "common/metrics.h"

namespace spillway {

// The HTTP server's metrics, seen from one of its threads: the registry's lookups are remembered.
// Not thread-safe: one per thread.
class HttpMetrics {
 public:
  explicit HttpMetrics(MetricRegistry& registry);

  void ConnectionOpened() { connections_.Add(1); }
  void ConnectionClosed() { connections_.Add(-1); }
  void AcceptFailed() { accept_failures_.Add(1); }
  void HandshakeFailed() { handshake_failures_.Add(1); }
  void ConnectionEvicted() { evicted_.Add(1); }
  void ConnectionRefused() { refused_.Add(1); }
  void ClientGone() { gone_.Add(1); }
  // `reason` is a fixed word.
  void ClientCut(std::string_view reason);
  // `route` is a string that lives for ever.
  void RequestEnded(std::string_view route, int status, absl::Duration took);

 private:
  MetricRegistry& registry_;
  Gauge& connections_;
  Counter& accept_failures_;
  Counter& handshake_failures_;
  Counter& evicted_;
  Counter& refused_;
  Counter& gone_;
  std::map<std::pair<std::string_view, int>, Counter*> requests_;
  std::map<std::string_view, Histogram*> seconds_;
};

}  // namespace spillway
