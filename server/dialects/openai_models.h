#pragma once

#include <memory>
#include <string>

#include "router/router.h"
#include "server/http/http_types.h"
#include "server/providers/provider_gateway.h"

namespace spillway {

// GET /v1/models: what is served here, and behind it what the providers have that is not;
// of both what the request's token may use.
// `providers` may be null. What it returns is as HttpHandler::Handle() has it.
std::unique_ptr<HttpOperation> ListOpenAiModels(const HttpRequest& request, const Router& router,
                                                ProviderGateway* providers, ResponseWriter& writer);

// GET /v1/models/NAME.
std::unique_ptr<HttpOperation> DescribeOpenAiModel(const HttpRequest& request, const Router& router,
                                                   ProviderGateway* providers,
                                                   ResponseWriter& writer);

}  // namespace spillway
