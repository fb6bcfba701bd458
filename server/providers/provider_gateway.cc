#include "server/providers/provider_gateway.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "server/http/tls_client.h"

namespace spillway {

ProviderGateway::ProviderGateway(ProviderSet& providers, std::vector<HttpPool*> pools,
                                 bool nothing_else, const SpillPolicy& policy, const Clock& clock,
                                 MetricRegistry& registry, RequestObserver* observer,
                                 GatewayMoney money)
    : providers_(providers),
      pools_(std::move(pools)),
      policy_(policy),
      nothing_else_(nothing_else),
      clock_(clock),
      metrics_(providers, registry),
      observer_(observer),
      money_(std::move(money)),
      models_(providers, pools_, clock) {
  CHECK(pools_.size() == providers_.size());
}

bool ProviderGateway::Takes(std::string_view model) const {
  if (nothing_else_) return true;
  for (size_t i = 0; i < providers_.size(); ++i) {
    if (providers_.NameFor(i, model)) return true;
  }
  return false;
}

std::string ProviderGateway::NewReservationId() {
  return absl::StrCat(money_.id_prefix, "-", ++reservations_);
}

HttpPoolOptions PoolOptionsFor(const ProviderAddress& address) {
  HttpPoolOptions options;
  options.url = address.url;
  if (!address.key.empty()) {
    options.headers.push_back({"Authorization", absl::StrCat("Bearer ", address.key)});
  }
  if (address.url.tls) options.tls = MakeTlsClientContext();
  return options;
}

}  // namespace spillway
