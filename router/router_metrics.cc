#include "router/router_metrics.h"

namespace spillway {
namespace {

const std::vector<double> kTtftBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                         1,     2.5,  5,     10,   30,  60,   120};
const std::vector<double> kInterTokenBounds = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05,
                                               0.075, 0.1,    0.15,  0.25, 0.5,  1,    2.5};

}  // namespace

RequestMetrics::OfService& RequestMetrics::Of(const std::string& service) {
  const auto found = services_.find(service);
  if (found != services_.end()) return found->second;
  const MetricLabels labels = {{"model", service}};
  return services_
      .emplace(
          service,
          OfService{
              .ttft_seconds = &registry_.GetHistogram("spillway_ttft_seconds",
                                                      "From the request to its first text.",
                                                      kTtftBounds, labels),
              .inter_token_seconds = &registry_.GetHistogram(
                  "spillway_inter_token_seconds",
                  "Mean time between the tokens of one choice after its first text.",
                  kInterTokenBounds, labels),
              .wait_error_seconds = &registry_.GetHistogram(
                  "spillway_predicted_wait_error_seconds",
                  "How far the predicted wait was from the real one, either way.", kTtftBounds,
                  labels),
              .prompt_tokens = &registry_.GetCounter("spillway_prompt_tokens_total",
                                                     "Tokens of accepted prompts.", labels),
              .completion_tokens = &registry_.GetCounter("spillway_completion_tokens_total",
                                                         "Tokens of delivered output.", labels),
              .resubmissions = &registry_.GetCounter("spillway_resubmissions_total",
                                                     "Sequences sent to another replica.", labels),
              .resumes = &registry_.GetCounter("spillway_resumes_total",
                                               "Resubmissions in the middle of an answer.", labels),
              .resumes_other_numerics =
                  &registry_.GetCounter("spillway_resumes_other_numerics_total",
                                        "Resumes on a replica with another numerics_id: the text "
                                        "may differ from there on.",
                                        labels),
              .not_resumable = &registry_.GetCounter("spillway_not_resumable_total",
                                                     "Requests over the resume budget.", labels),
              .ignored_events = &registry_.GetCounter(
                  "spillway_ignored_worker_events_total",
                  "Events of workers that didn't fit the state of their request.", labels)})
      .first->second;
}

void RequestMetrics::Observe(const std::string& service, const RequestRecord& record) {
  registry_
      .GetCounter("spillway_requests_total", "Requests that ended, and how.",
                  {{"model", service}, {"outcome", std::string(record.outcome)}})
      .Add();
  OfService& metrics = Of(service);
  std::optional<absl::Time> first_text;
  int32_t delivered_tokens = 0;
  for (const RequestRecord::Choice& choice : record.choices) {
    delivered_tokens += choice.tokens;
    if (!choice.first_delta.has_value()) continue;
    if (!first_text.has_value() || *choice.first_delta < *first_text) {
      first_text = choice.first_delta;
    }
    const int32_t intervals = choice.tokens - choice.tokens_of_first_delta;
    if (intervals > 0) {
      metrics.inter_token_seconds->Observe(
          absl::ToDoubleSeconds(choice.last_delta - *choice.first_delta) / intervals);
    }
  }
  if (first_text.has_value()) {
    metrics.ttft_seconds->Observe(absl::ToDoubleSeconds(*first_text - record.asked));
  }
  if (record.started.has_value()) {
    const absl::Duration error = *record.started - record.asked - record.predicted_wait;
    metrics.wait_error_seconds->Observe(absl::ToDoubleSeconds(absl::AbsDuration(error)));
  }
  metrics.prompt_tokens->Add(record.prompt_tokens);
  metrics.completion_tokens->Add(
      record.total_usage.has_value() ? record.total_usage->completion_tokens : delivered_tokens);
  metrics.resubmissions->Add(record.resubmissions);
  metrics.resumes->Add(record.resumes);
  metrics.resumes_other_numerics->Add(record.resumes_other_numerics);
  if (!record.resumable) metrics.not_resumable->Add();
  metrics.ignored_events->Add(static_cast<double>(record.ignored_events));
}

ReplicaMetrics::ReplicaMetrics(MetricRegistry& registry, const std::string& replica)
    : ready_(registry.GetGauge("spillway_replica_ready", "1: it takes new sequences.",
                               {{"replica", replica}})),
      running_(registry.GetGauge("spillway_replica_running", "Sequences in its steps.",
                                 {{"replica", replica}})),
      waiting_(registry.GetGauge("spillway_replica_waiting", "Sequences in its queue.",
                                 {{"replica", replica}})),
      kv_blocks_free_(registry.GetGauge("spillway_replica_kv_blocks_free",
                                        "KV blocks that no sequence holds.",
                                        {{"replica", replica}})),
      kv_blocks_total_(registry.GetGauge("spillway_replica_kv_blocks_total", "KV blocks it has.",
                                         {{"replica", replica}})) {}

void ReplicaMetrics::Set(const ReplicaSnapshot& snapshot) {
  ready_.Set(snapshot.ready && !snapshot.draining ? 1 : 0);
  running_.Set(snapshot.load.running);
  waiting_.Set(snapshot.load.waiting);
  kv_blocks_free_.Set(snapshot.load.kv_blocks_free);
  kv_blocks_total_.Set(snapshot.load.kv_blocks_total);
}

}  // namespace spillway
