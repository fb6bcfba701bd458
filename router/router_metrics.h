#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/metrics.h"
#include "router/generate_request.h"
#include "router/replica.h"

namespace spillway {

// What one request did, noted as it happens and told once at its end.
struct RequestRecord {
  absl::Time asked;
  std::optional<absl::Time> started;
  absl::Duration predicted_wait;
  struct Choice {
    std::optional<absl::Time> first_delta;
    absl::Time last_delta;
    int32_t tokens = 0;  // delivered
    int32_t tokens_of_first_delta = 0;
  };
  std::vector<Choice> choices;
  int32_t prompt_tokens = 0;
  std::optional<Usage> total_usage;  // when finished
  int32_t resubmissions = 0;
  int32_t resumes = 0;
  int32_t resumes_other_numerics = 0;  // of those, on a replica that may give other text
  bool resumable = true;
  int64_t ignored_events = 0;
  std::string_view outcome;  // "finished", "cancelled", or an error's reason
};

// The metrics of requests. The label `model` is a service's name or "none", never what a client
// wrote; `outcome` is a word of the error table. Thread-safe: shards share the registry, but each
// has an object of this class of its own.
class RequestMetrics {
 public:
  explicit RequestMetrics(MetricRegistry& registry) : registry_(registry) {}
  void Observe(const std::string& service, const RequestRecord& record);

 private:
  struct OfService {
    Histogram* ttft_seconds;
    Histogram* inter_token_seconds;
    Histogram* wait_error_seconds;
    Counter* prompt_tokens;
    Counter* completion_tokens;
    Counter* resubmissions;
    Counter* resumes;
    Counter* resumes_other_numerics;
    Counter* not_resumable;
    Counter* ignored_events;
  };
  OfService& Of(const std::string& service);

  MetricRegistry& registry_;
  std::map<std::string, OfService> services_;
};

// The gauges of one replica.
class ReplicaMetrics {
 public:
  ReplicaMetrics(MetricRegistry& registry, const std::string& replica);
  void Set(const ReplicaSnapshot& snapshot);

 private:
  Gauge& ready_;
  Gauge& running_;
  Gauge& waiting_;
  Gauge& kv_blocks_free_;
  Gauge& kv_blocks_total_;
};

}  // namespace spillway
