#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/metrics.h"
#include "router/budget.h"
#include "router/provider_set.h"
#include "router/request_observer.h"
#include "router/spill_policy.h"
#include "server/cli/provider_options.h"
#include "server/http/http_server.h"
#include "server/providers/provider_gateway.h"

namespace spillway {

// Null: there are none.
std::unique_ptr<ProviderSet> MakeProviderSet(const std::vector<ProviderOptions>& all);

// What thread `thread` of `server` needs to ask them; null: there are none. `no_model`: nothing is
// served here. `id_prefix` is unique for ever. All references outlive it.
std::unique_ptr<ProviderGateway> MakeProviderGateway(
    ProviderSet* providers, const std::vector<ProviderOptions>& all, bool no_model,
    const SpillPolicy& policy, HttpServer& server, int32_t thread, const Clock& clock,
    MetricRegistry& metrics, RequestObserver& observer, Budget& budget, std::string id_prefix);

}  // namespace spillway
