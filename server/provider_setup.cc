#include "server/provider_setup.h"

#include <utility>

#include "router/providers/provider_table.h"
#include "server/http/http_client.h"

namespace spillway {
namespace {

// Its URL was checked.
ProviderAddress AddressOf(const ProviderOptions& options) {
  ProviderAddress address = {.url = ParseBaseUrl(options.url).value(), .key = options.key};
  if (address.url.path.empty()) address.url.path = "/v1";
  return address;
}

}  // namespace

std::unique_ptr<ProviderSet> MakeProviderSet(const std::vector<ProviderOptions>& all) {
  if (all.empty()) return nullptr;
  std::vector<ProviderConfig> configs;
  for (const ProviderOptions& options : all) {
    configs.push_back({.name = options.name,
                       .row = FindProvider(options.row),
                       .key_name = options.key_name,
                       .models = {options.models.begin(), options.models.end()},
                       .any_model = options.any_model,
                       .rate = {.requests_per_minute = options.requests_per_minute,
                                .tokens_per_minute = options.tokens_per_minute},
                       .prices = options.prices});
  }
  return std::make_unique<ProviderSet>(std::move(configs));
}

std::unique_ptr<ProviderGateway> MakeProviderGateway(
    ProviderSet* providers, const std::vector<ProviderOptions>& all, bool no_model,
    const SpillPolicy& policy, HttpServer& server, int32_t thread, const Clock& clock,
    MetricRegistry& metrics, RequestObserver& observer, Budget& budget, std::string id_prefix) {
  if (providers == nullptr) return nullptr;
  std::vector<HttpPool*> pools;
  for (const ProviderOptions& options : all) {
    pools.push_back(&server.AddPool(thread, PoolOptionsFor(AddressOf(options))));
  }
  return std::make_unique<ProviderGateway>(
      *providers, std::move(pools), no_model, policy, clock, metrics, &observer,
      GatewayMoney{
          .budget = &budget, .post = server.Poster(thread), .id_prefix = std::move(id_prefix)});
}

}  // namespace spillway
