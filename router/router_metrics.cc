#include "router/router_metrics.h"

#include <algorithm>

namespace spillway {
namespace {

const std::vector<double> kTtftBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                         1,     2.5,  5,     10,   30,  60,   120};
const std::vector<double> kRequestBounds = {0.05, 0.1, 0.25, 0.5, 1,   2.5, 5,
                                            10,   20,  40,   60,  120, 300, 600};

}  // namespace

void TokenGaps::Add(absl::Duration gap, int32_t tokens) {
  if (tokens <= 0) return;
  const std::vector<double>& bounds = bounds_seconds();
  if (counts_.empty()) counts_.resize(bounds.size() + 1);
  const double seconds = absl::ToDoubleSeconds(gap);
  const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), seconds / tokens);
  counts_[static_cast<size_t>(bucket - bounds.begin())] += tokens;
  sum_seconds_ += seconds;
}

const std::vector<double>& TokenGaps::bounds_seconds() {
  static const std::vector<double> bounds = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05,
                                             0.075, 0.1,    0.15,  0.25, 0.5,  1,    2.5};
  return bounds;
}

std::string_view FinishWord(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
  }
  return "stop";
}

std::optional<absl::Time> FirstText(const RequestRecord& record) {
  std::optional<absl::Time> first;
  for (const RequestRecord::Choice& choice : record.choices) {
    if (!choice.first_delta.has_value()) continue;
    first = std::min(first.value_or(*choice.first_delta), *choice.first_delta);
  }
  return first;
}

int32_t DeliveredTokens(const RequestRecord& record) {
  if (record.total_usage.has_value()) return record.total_usage->completion_tokens;
  int32_t tokens = 0;
  for (const RequestRecord::Choice& choice : record.choices) tokens += choice.tokens;
  return tokens;
}

RequestMetrics::OfService& RequestMetrics::Of(const std::string& service) {
  const auto found = services_.find(service);
  if (found != services_.end()) return found->second;
  const MetricLabels labels = {{"model", service}};
  return services_
      .emplace(
          service,
          OfService{
              .request_seconds = &registry_.GetHistogram(
                  "spillway_request_seconds", "From the request to the end of its answer.",
                  kRequestBounds, labels),
              .queue_seconds = &registry_.GetHistogram(
                  "spillway_queue_seconds", "From the request to the begin of its prefill.",
                  kTtftBounds, labels),
              .ttft_seconds = &registry_.GetHistogram("spillway_ttft_seconds",
                                                      "From the request to its first text.",
                                                      kTtftBounds, labels),
              .inter_token_seconds =
                  &registry_.GetHistogram("spillway_inter_token_seconds",
                                          "Time between the tokens of a choice, each counted.",
                                          TokenGaps::bounds_seconds(), labels),
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
  for (const RequestRecord::Choice& choice : record.choices) {
    if (!choice.finished.has_value()) continue;
    registry_
        .GetCounter("spillway_choices_finished_total", "Choices whose answer is complete, and why.",
                    {{"model", service}, {"reason", std::string(FinishWord(*choice.finished))}})
        .Add();
  }
  OfService& metrics = Of(service);
  metrics.request_seconds->Observe(absl::ToDoubleSeconds(record.ended - record.asked));
  if (const std::optional<absl::Time> first_text = FirstText(record)) {
    metrics.ttft_seconds->Observe(absl::ToDoubleSeconds(*first_text - record.asked));
  }
  if (!record.gaps.counts().empty()) {
    metrics.inter_token_seconds->ObserveCounts(record.gaps.counts(), record.gaps.sum_seconds());
  }
  if (record.started.has_value()) {
    const absl::Duration queued = *record.started - record.asked;
    metrics.queue_seconds->Observe(absl::ToDoubleSeconds(queued));
    metrics.wait_error_seconds->Observe(
        absl::ToDoubleSeconds(absl::AbsDuration(queued - record.predicted_wait)));
  }
  metrics.prompt_tokens->Add(record.prompt_tokens);
  metrics.completion_tokens->Add(DeliveredTokens(record));
  metrics.resubmissions->Add(record.resubmissions);
  metrics.resumes->Add(record.resumes);
  metrics.resumes_other_numerics->Add(record.resumes_other_numerics);
  if (!record.resumable) metrics.not_resumable->Add();
  metrics.ignored_events->Add(static_cast<double>(record.ignored_events));
}

}  // namespace spillway
