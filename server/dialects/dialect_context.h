#pragma once

#include <cstdint>
#include <string>

#include "common/clock.h"
#include "router/request_observer.h"
#include "router/router.h"
#include "server/dialects/dialect_limits.h"
#include "server/providers/provider_gateway.h"

namespace spillway {

// What the dialects of one server thread work with. All that it refers to outlives them.
struct DialectContext {
  const Router& router;
  RouterShard& shard;  // this thread's
  const Clock& clock;
  RequestObserver* observer = nullptr;   // hears of requests that never reach the router
  ProviderGateway* providers = nullptr;  // null: there are none
  DialectLimits limits = {};
  StreamTimings timings = {};
  uint64_t id_seed = 0;  // of the ids of answers
};

}  // namespace spillway
