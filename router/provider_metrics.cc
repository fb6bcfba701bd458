#include "router/provider_metrics.h"

namespace spillway {
namespace {

const std::vector<double> kSeconds = {0.05, 0.1, 0.25, 0.5, 1,   2.5, 5,
                                      10,   20,  40,   60,  120, 300, 600};

}  // namespace

ProviderMetrics::ProviderMetrics(const ProviderSet& providers, MetricRegistry& registry)
    : set_(providers), registry_(registry) {
  for (size_t i = 0; i < set_.size(); ++i) {
    const MetricLabels labels = {{"provider", set_.config(i).name}};
    const auto tokens = [&](const std::string& kind) {
      return &registry.GetCounter("spillway_provider_tokens_total",
                                  "Tokens that providers counted, of prompts and answers.",
                                  {{"provider", set_.config(i).name}, {"kind", kind}});
    };
    providers_.push_back(
        {.seconds = &registry.GetHistogram("spillway_provider_request_seconds",
                                           "From a request to a provider to the end of its answer.",
                                           kSeconds, labels),
         .first_seconds = &registry.GetHistogram(
             "spillway_provider_first_seconds",
             "From a request to a provider to the first piece of its answer.", kSeconds, labels),
         .prompt_tokens = tokens("prompt"),
         .cached_tokens = tokens("cached"),
         .completion_tokens = tokens("completion"),
         .reasoning_tokens = tokens("reasoning"),
         .open_circuits = &registry.GetGauge(
             "spillway_provider_open_circuits",
             "Models of a provider, or all of a key, that aren't asked now.", labels),
         .alerts = &registry.GetGauge(
             "spillway_provider_alerts",
             "Of those circuits: where somebody has to pay, or to mend a key or a name.", labels)});
  }
}

void ProviderMetrics::OnAttempt(const AttemptEnded& attempt) {
  registry_
      .GetCounter("spillway_provider_requests_total",
                  "What was sent to providers, and how it ended.",
                  {{"provider", set_.config(attempt.provider).name},
                   {"outcome", std::string(attempt.outcome)}})
      .Add();
  const OfProvider& of = providers_[attempt.provider];
  of.seconds->Observe(absl::ToDoubleSeconds(attempt.took));
  if (attempt.to_first) of.first_seconds->Observe(absl::ToDoubleSeconds(*attempt.to_first));
  if (!attempt.usage) return;
  of.prompt_tokens->Add(static_cast<double>(attempt.usage->prompt_tokens));
  of.cached_tokens->Add(static_cast<double>(attempt.usage->cached_tokens));
  of.completion_tokens->Add(static_cast<double>(attempt.usage->completion_tokens));
  of.reasoning_tokens->Add(static_cast<double>(attempt.usage->reasoning_tokens));
}

void ProviderMetrics::OnRequest(std::string_view model, std::string_view outcome) {
  registry_
      .GetCounter("spillway_requests_total", "Requests that ended, and how.",
                  {{"model", std::string(model)}, {"outcome", std::string(outcome)}})
      .Add();
}

void ProviderMetrics::OnSpilled(std::string_view model, std::string_view provider,
                                std::string_view reason) {
  registry_
      .GetCounter("spillway_spilled_total",
                  "Requests for a model that is served here, sent to a provider, and why.",
                  {{"model", std::string(model)},
                   {"provider", std::string(provider)},
                   {"reason", std::string(reason)}})
      .Add();
}

void ProviderMetrics::ShowCircuits(absl::Time now) {
  const std::vector<OpenCircuit> open = set_.OpenCircuits(now);
  for (size_t i = 0; i < providers_.size(); ++i) {
    double count = 0;
    double alerts = 0;
    for (const OpenCircuit& circuit : open) {
      if (circuit.of.provider != set_.config(i).name) continue;
      ++count;
      if (circuit.alert) ++alerts;
    }
    providers_[i].open_circuits->Set(count);
    providers_[i].alerts->Set(alerts);
  }
}

}  // namespace spillway
