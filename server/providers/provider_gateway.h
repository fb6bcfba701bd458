#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/metrics.h"
#include "router/budget.h"
#include "router/provider_metrics.h"
#include "router/provider_set.h"
#include "router/providers/provider_call.h"
#include "router/request_observer.h"
#include "router/spill_policy.h"
#include "router/token_account.h"
#include "server/http/http_client.h"
#include "server/http/http_pool.h"
#include "server/providers/provider_models.h"

namespace spillway {

// Where a provider is, and what is said to it to be let in.
struct ProviderAddress {
  BaseUrl url;
  std::string key;  // empty: none. Never logged, and in no other place than the connections
};

// Of whom a request is, for logs and metrics. Nothing of it goes to a provider.
struct ProviderClient {
  std::string request_id;
  std::string token_id;  // empty where none was needed
  std::string token_name;
  std::string traceparent;
  // Of a model that is served here: why it goes elsewhere. Empty: it is served there alone.
  std::string_view spill_reason;
  QuotaReservation quota;  // of its token
  // That what it costs has to fit into; empty: it may cost what it wants.
  std::vector<MoneyLimit> budgets;
};

// Where a thread asks for money.
struct GatewayMoney {
  Budget* budget = nullptr;  // null: requests under a budget are CHECKed not to come
  // Has something done on the gateway's thread; callable on any, as long as there is a budget.
  std::function<void(std::function<void()>)> post;
  std::string id_prefix;  // of reservations; no other thread of no process ever had it
};

// What the requests of one server thread to providers share.
class ProviderGateway {
 public:
  // `pools`: one of each provider, in the set's order. All must outlive it; `observer` may be null.
  ProviderGateway(ProviderSet& providers, std::vector<HttpPool*> pools, bool nothing_else,
                  const SpillPolicy& policy, const Clock& clock, MetricRegistry& registry,
                  RequestObserver* observer, GatewayMoney money = {});

  // Whether a request for `model`, which isn't served here, is the providers' business.
  bool Takes(std::string_view model) const;

  // Of models that are served here.
  const SpillPolicy& policy() const { return policy_; }
  ProviderSet& providers() { return providers_; }
  const ProviderSet& providers() const { return providers_; }
  HttpPool& pool(size_t provider) { return *pools_[provider]; }
  ProviderModels& models() { return models_; }
  ProviderMetrics& metrics() { return metrics_; }
  RequestObserver* observer() { return observer_; }
  const Clock& clock() const { return clock_; }
  const CallLimits& limits() const { return limits_; }
  const GatewayMoney& money() const { return money_; }
  std::string NewReservationId();

 private:
  ProviderSet& providers_;
  const std::vector<HttpPool*> pools_;
  const SpillPolicy policy_;
  const bool nothing_else_;  // no model is served here: all goes there, be it in vain
  const Clock& clock_;
  ProviderMetrics metrics_;
  RequestObserver* const observer_;
  const CallLimits limits_;
  const GatewayMoney money_;
  int64_t reservations_ = 0;  // so far
  ProviderModels models_;
};

// The connections to a provider that one thread has.
HttpPoolOptions PoolOptionsFor(const ProviderAddress& address);

}  // namespace spillway
