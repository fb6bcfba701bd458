#pragma once

#include "router/generate_request.h"
#include "router/request_observer.h"
#include "server/http/http_types.h"

namespace spillway {

// Says in `request` who sent it, and under which ids: what every dialect does before it submits.
void SetOrigin(const HttpRequest& http, GenerateRequest& request);

// Tells of a request that was refused as it came and so never reached the router. `observer` may be
// null.
void ReportRefusal(const HttpRequest& http, int http_status, RequestObserver* observer);

}  // namespace spillway
