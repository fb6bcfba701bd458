#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_set>

#include "absl/time/time.h"
#include "common/clock.h"
#include "server/http/http_limits.h"
#include "server/http/http_metrics.h"
#include "server/http/http_types.h"
#include "server/http/id_generator.h"

namespace boost::asio {
class io_context;
}

namespace spillway {

// A client's connection, whatever its transport. Lives as long as its coroutines run.
class HttpConnection {
 public:
  virtual ~HttpConnection() = default;
  // Ends after the answer in the making, at once if there is none.
  virtual void Drain() = 0;
  // Ends now.
  virtual void Cut() = 0;
};

// What the connections of one thread share. Touched on that thread only.
struct HttpThreadState {
  HttpThreadState(const HttpLimits& limits_in, const Clock& clock_in, MetricRegistry& registry,
                  uint64_t id_seed)
      : limits(limits_in), clock(clock_in), metrics(registry), ids(id_seed) {}

  const HttpLimits& limits;
  const Clock& clock;
  HttpMetrics metrics;
  IdGenerator ids;
  HttpHandler* handler = nullptr;
  std::function<void()> connection_closed;
  bool draining = false;
  std::unordered_set<HttpConnection*> connections;
  std::string date;  // of `date_second`, as it stands in heads
  int64_t date_second = 0;
};

struct ConnectionOrigin {
  ListenerTraits listener;
  bool any_origin = false;
  std::string peer_address;
};

// Takes over the connected TCP socket `descriptor` and serves it on `context` until it closes.
// Call on the thread of `context`.
void ServeTcpConnection(boost::asio::io_context& context, int descriptor, bool is_v6,
                        ConnectionOrigin origin, HttpThreadState& thread);

}  // namespace spillway
