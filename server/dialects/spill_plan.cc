#include "server/dialects/spill_plan.h"

#include <utility>

#include "router/service.h"
#include "server/dialects/provider_access.h"

namespace spillway {

std::optional<SpillOperation::Parts> PlanSpill(ProviderGateway* gateway, const HttpRequest& request,
                                               const std::string& named) {
  if (gateway == nullptr || gateway->policy().mode == SpillMode::kNever || MustStayHere(request)) {
    return std::nullopt;
  }
  if (!request.service.empty() && !CheckModelOfService(request.service, named).ok()) {
    return std::nullopt;
  }
  std::string model = named;
  if (request.account != nullptr && request.account->ResolveModel(model)) return std::nullopt;
  if (!gateway->providers().IsMapped(model)) return std::nullopt;
  SpillOperation::Parts parts;
  parts.request.model = std::move(model);
  parts.request.client_model = named;
  parts.client = ClientOf(request);
  // It would give up its place here for nothing.
  if (!parts.client.budgets.empty() && !gateway->providers().IsPriced(parts.request.model)) {
    return std::nullopt;
  }
  parts.account = request.account;
  parts.prefer = gateway->policy().mode == SpillMode::kPrefer;
  return parts;
}

}  // namespace spillway
