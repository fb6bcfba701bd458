#pragma once

#include <string_view>

#include "common/clock.h"
#include "server/auth/authenticator.h"
#include "server/auth/failure_limiter.h"
#include "server/http/http_types.h"
#include "server/http/route_table.h"

namespace spillway {

// The token that a request carries: Authorization with or without "Bearer " (PAI-EAS sends it
// bare), or x-api-key (Anthropic). Empty when there is none.
std::string_view TokenOf(const HttpRequest& request);

// Decides who may go on.
//
// A listener with tokens asks for one, but for what `TokenRule` exempts; a request that came
// through a proxy counts as from afar even on loopback. Whoever sends too many wrong tokens is told
// 429 before the next is looked at. A listener without tokens refuses what a proxy forwards: the
// proxy was taken for the one who may come in. On loopback it trusts this machine's programs, so it
// also refuses what a web page could send through this machine's browser: a foreign Host, as DNS
// rebinding makes it, or a foreign Origin.
//
// The references must outlive the gate, which is thread-safe.
RequestGate MakeRequestGate(const Authenticator& authenticator, FailureLimiter& failures,
                            const Clock& clock, ErrorFormat format_error);

}  // namespace spillway
