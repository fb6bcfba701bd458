#pragma once

#include <string>
#include <string_view>

#include "router/providers/request_rewrite.h"
#include "router/router.h"
#include "router/token_quota.h"
#include "server/http/http_types.h"
#include "server/providers/provider_gateway.h"

namespace spillway {

// What the dialects have to know of a request before it may go to a provider.

// The model that an OpenAI body names, as its last member "model" says; empty: it says none, or is
// no JSON.
std::string ModelNamedIn(std::string_view body);

// X-Spillway-Spill: never.
bool MustStayHere(const HttpRequest& request);

// What a request is refused with that must, and whose model is only at a provider.
GenerateError MustStayError();

// Without a place in its token's quota.
ProviderClient ClientOf(const HttpRequest& request);

// What a body counts for in its token's quota before its answer is known.
TokenDemand DemandOf(ProviderRequestKind kind, std::string_view body);

// What the endpoint calls the prompt.
std::string_view PromptParam(ProviderRequestKind kind);

}  // namespace spillway
