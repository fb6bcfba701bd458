#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/metrics.h"
#include "router/replica.h"

namespace spillway {

// The metrics of one replica, from what its worker tells. Labels: its name, and the model that it
// serves; without a model there is nothing to tell of it yet, and no series.
//
// Not thread-safe: the router's lock guards it.
class ReplicaMetrics {
 public:
  // `registry` must outlive it.
  ReplicaMetrics(MetricRegistry& registry, std::string replica)
      : registry_(registry), replica_(std::move(replica)) {}

  // `model`: what it serves, empty while that isn't known.
  void Set(const ReplicaSnapshot& snapshot, const std::string& model);

 private:
  // A count that the worker keeps, which begins anew when the worker does.
  struct Total {
    Counter* counter = nullptr;
    uint64_t told = 0;
    void Set(uint64_t total);
  };
  struct Series {
    Gauge* ready;
    Gauge* running;
    Gauge* waiting;
    Gauge* kv_blocks;
    Gauge* kv_blocks_free;
    Gauge* kv_usage;
    Gauge* step_seconds;
    Total steps;
    Total preemptions;
    Total prefix_cache_queries;
    Total prefix_cache_hits;
  };

  Series MakeSeries(const std::string& model);
  void SetKvConfig(const ReplicaSnapshot& snapshot, const std::string& model);

  MetricRegistry& registry_;
  const std::string replica_;
  std::string model_;
  std::optional<Series> series_;
  MetricLabels kv_config_;  // of the blocks that it has now; empty: it has told none
};

}  // namespace spillway
