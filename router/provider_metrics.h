#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/metrics.h"
#include "router/provider_flow.h"
#include "router/provider_set.h"

namespace spillway {

// The metrics of what is sent to providers. Labels are names that the operator gave and fixed
// words. Thread-safe as RequestMetrics is.
class ProviderMetrics {
 public:
  // `providers` and `registry` outlive it.
  ProviderMetrics(const ProviderSet& providers, MetricRegistry& registry);

  // One try at one provider.
  void OnAttempt(const AttemptEnded& attempt);
  // One client's request, as RequestMetrics counts those that workers answer. `model`: as
  // ProviderSet::LabelFor() has it.
  void OnRequest(std::string_view model, std::string_view outcome);
  // What a worker here would have answered, but for `reason`.
  void OnSpilled(std::string_view model, std::string_view provider, std::string_view reason);
  // Call every second or so, from one thread.
  void ShowCircuits(absl::Time now);

 private:
  struct OfProvider {
    Histogram* seconds;
    Histogram* first_seconds;
    Counter* prompt_tokens;
    Counter* cached_tokens;
    Counter* completion_tokens;
    Counter* reasoning_tokens;
    Gauge* open_circuits;
    Gauge* alerts;
  };

  const ProviderSet& set_;
  MetricRegistry& registry_;
  std::vector<OfProvider> providers_;
};

}  // namespace spillway
