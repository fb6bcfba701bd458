#pragma once

#include <atomic>
#include <functional>

#include "common/metrics.h"
#include "router/router.h"
#include "server/dialects/status_report.h"
#include "server/http/route_table.h"

namespace spillway {

// What operators, probes and curious people ask: GET /, /healthz (200 while the process serves),
// /readyz (200 while a replica is ready and the server isn't draining, else 503 with the reasons),
// /metrics, and /status for `spillway status`. `no_model`: none is served here, so that no replica
// is missed.
//
// All arguments must outlive the routes.
void AddOperationsRoutes(RouteTable& routes, const Router& router, const MetricRegistry& metrics,
                         const std::atomic<bool>& draining, bool no_model,
                         std::function<StatusReport()> status);

}  // namespace spillway
