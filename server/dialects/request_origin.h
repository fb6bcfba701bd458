#pragma once

#include <string>
#include <vector>

#include "router/request_observer.h"
#include "router/router.h"
#include "server/http/http_types.h"

namespace spillway {

// Says in `request` who sent it, and under which ids: what every dialect does before it submits.
// Requests of either kind, to generate and to embed, have the same members for it.
template <typename Request>
void SetOrigin(const HttpRequest& http, Request& request) {
  request.request_id = http.request_id;
  request.tenant = http.tenant;
  request.token_name = http.token_name;
  request.account = http.account;
  request.traceparent = http.traceparent;
  request.service = http.service;
  if (request.model.empty()) request.model = http.service;
}

// The models that its token may use, by the names that it may use for them; of the service alone
// that its path names.
std::vector<ModelInfo> ModelsFor(const HttpRequest& http, const Router& router);

// The model that a request to generate goes to when it names none; empty while there is none.
std::string DefaultModelName(const HttpRequest& http, const Router& router);

// Tells of a request that was refused as it came and so never reached the router. `observer` may be
// null.
void ReportRefusal(const HttpRequest& http, int http_status, RequestObserver* observer);

}  // namespace spillway
