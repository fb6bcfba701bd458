#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "router/model_price.h"
#include "router/providers/provider_circuits.h"
#include "router/providers/provider_rate.h"
#include "router/providers/provider_table.h"
#include "router/providers/retry_budget.h"

namespace spillway {

// A provider as the operator has set it up. Its key is not here: only connections know it.
struct ProviderConfig {
  std::string name;                  // for headers, metrics and logs: "bailian"
  const ProviderRow* row = nullptr;  // how it is; never null
  std::string key_name;              // of the key, for circuits and people; empty: it needs none
  // What clients say to what it says.
  std::map<std::string, std::string> models = {};
  // Names that `models` doesn't have go to it as they are. Never what is served here.
  bool any_model = false;
  ProviderRateLimits rate = {};
  // By what clients call the model; all in one currency.
  std::map<std::string, ModelPrice> prices = {};
};

// Whether a request may go to a provider now, and what has to come back with what became of it.
struct ProviderPermit {
  bool allowed = false;
  absl::Time retry_at = absl::InfinitePast();  // not allowed: when to ask again
  bool throttled = false;                      // not allowed: by our count of its limits
  CircuitKey key;
  CircuitPermit circuit;
  RateTicket ticket;
};

// The providers of a process, in the order in which they are asked, and what is remembered of them:
// circuits, rates, and how much is sent again. Thread-safe; a lock is taken a few times a request.
class ProviderSet {
 public:
  static constexpr std::string_view kAnyModel = "any";

  explicit ProviderSet(std::vector<ProviderConfig> configs, const CircuitLimits& circuits = {},
                       const RetryLimits& retries = {});

  size_t size() const { return configs_.size(); }
  const ProviderConfig& config(size_t provider) const { return configs_[provider]; }

  // What the provider calls what clients call `model`, by the map; where nothing fits exactly,
  // spelling counts as little as it does for services here (router/service.h). Nothing: it isn't
  // there.
  std::optional<std::string> MappedName(size_t provider, std::string_view model) const;
  // The same, but for the names that go as they are.
  std::optional<std::string> NameFor(size_t provider, std::string_view model) const;
  // What the provider takes for what clients call `model`, spelled as in its map; null: nobody has
  // said so. Lives as long as this.
  const ModelPrice* PriceOf(size_t provider, std::string_view model) const;
  // Whether any that has it in its map has a price of it: else nobody under a budget gets it.
  bool IsPriced(std::string_view model) const;
  // Whether any of them has it in its map.
  bool IsMapped(std::string_view model) const { return LabelFor(model) != kAnyModel; }
  // The name in a map that a client means by `model`: what metrics may be labelled with. Else
  // kAnyModel.
  std::string_view LabelFor(std::string_view model) const;

  // Whether a provider that has `model` in its map would be asked now, so that it is worth to give
  // up one's place here.
  bool MightTake(std::string_view model, absl::Time now) const EXCLUDES(mutex_);

  // Each permit that is allowed must come back, once, by one of the four below. `tokens`: as many
  // as it may come to.
  ProviderPermit Ask(size_t provider, const std::string& their_model, int64_t tokens,
                     absl::Time now) EXCLUDES(mutex_);
  void OnSuccess(size_t provider, const ProviderPermit& permit, int64_t tokens, absl::Time now)
      EXCLUDES(mutex_);
  // What was counted of a rate stays: nobody knows how much of it the provider has done.
  void OnError(const ProviderPermit& permit, const ErrorVerdict& verdict,
               absl::Duration retry_after, absl::Time now) EXCLUDES(mutex_);
  void OnAbandoned(const ProviderPermit& permit) EXCLUDES(mutex_);
  // It never left: what was counted of a rate is free again.
  void OnNotSent(size_t provider, const ProviderPermit& permit, absl::Time now) EXCLUDES(mutex_);

  // Of each request, not of what is sent again.
  void OnRequest() EXCLUDES(mutex_);
  // False: it may not be sent again.
  bool TryRetry() EXCLUDES(mutex_);

  std::vector<OpenCircuit> OpenCircuits(absl::Time now) const EXCLUDES(mutex_);

 private:
  ProviderRate& RateOf(size_t provider, const std::string& their_model) REQUIRES(mutex_);

  const std::vector<ProviderConfig> configs_;
  mutable Mutex mutex_;
  ProviderCircuits circuits_ GUARDED_BY(mutex_);
  RetryBudget retries_ GUARDED_BY(mutex_);
  // By provider and its name of a model; only where it has limits.
  std::map<std::pair<size_t, std::string>, ProviderRate> rates_ GUARDED_BY(mutex_);
};

}  // namespace spillway
