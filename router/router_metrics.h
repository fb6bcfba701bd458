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

namespace spillway {

// Times between the tokens of a request, sorted into buckets as they happen, so that no histogram
// is locked for a token.
class TokenGaps {
 public:
  // `tokens` came together, `gap` after those before.
  void Add(absl::Duration gap, int32_t tokens);
  static const std::vector<double>& bounds_seconds();

  const std::vector<double>& counts() const { return counts_; }  // empty when there was none
  double sum_seconds() const { return sum_seconds_; }

 private:
  std::vector<double> counts_;
  double sum_seconds_ = 0;
};

// What one request did, noted as it happens and told once at its end.
struct RequestRecord {
  absl::Time asked;
  absl::Time ended;
  std::optional<absl::Time> started;
  absl::Duration predicted_wait;
  struct Choice {
    std::optional<absl::Time> first_delta;
    absl::Time last_delta;
    int32_t tokens = 0;  // delivered
    std::optional<FinishReason> finished;
  };
  std::vector<Choice> choices;
  TokenGaps gaps;
  std::string replica;  // the last that it was sent to
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  std::optional<Usage> total_usage;  // when finished
  int32_t resubmissions = 0;
  int32_t resumes = 0;
  int32_t resumes_other_numerics = 0;  // of those, on a replica that may give other text
  bool resumable = true;
  int64_t ignored_events = 0;
  int http_status = 200;     // of a failure, as OpenAI's dialect says it
  std::string_view outcome;  // "finished", "cancelled", or an error's reason
};

// "stop", "length": as metrics, logs and OpenAI's API say it.
std::string_view FinishWord(FinishReason reason);

// The first text of any choice.
std::optional<absl::Time> FirstText(const RequestRecord& record);
// Tokens of output that were delivered.
int32_t DeliveredTokens(const RequestRecord& record);

// The metrics of requests. The label `model` is a service's name or "none", never what a client
// wrote; `outcome` is a word of the error table. Thread-safe: shards share the registry, but each
// has an object of this class of its own.
class RequestMetrics {
 public:
  explicit RequestMetrics(MetricRegistry& registry) : registry_(registry) {}
  void Observe(const std::string& service, const RequestRecord& record);

 private:
  struct OfService {
    Histogram* request_seconds;
    Histogram* queue_seconds;
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

}  // namespace spillway
