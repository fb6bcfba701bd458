#pragma once

#include <optional>
#include <string>

#include "server/dialects/spill_operation.h"
#include "server/http/http_types.h"
#include "server/providers/provider_gateway.h"

namespace spillway {

// How a request for a model that is served here may go to a provider: what doesn't depend on its
// dialect. `named`: the model as the client calls it. Nothing: it may not, since there is no
// provider with that model in its map, or policy or client forbid it. `gateway` may be null.
std::optional<SpillOperation::Parts> PlanSpill(ProviderGateway* gateway, const HttpRequest& request,
                                               const std::string& named);

}  // namespace spillway
