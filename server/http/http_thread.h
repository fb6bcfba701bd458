#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/clock.h"
#include "server/http/http_limits.h"
#include "server/http/http_metrics.h"
#include "server/http/http_types.h"
#include "server/http/id_generator.h"
#include "server/http/ip_address.h"

namespace spillway {

// A client's connection, whatever its transport.
class HttpConnection {
 public:
  virtual ~HttpConnection() = default;
  // Ends after the answer in the making, at once if there is none.
  virtual void Drain() = 0;
  // Ends now, before it returns.
  virtual void Cut() = 0;
};

// What the connections of one thread share. Touched on that thread only.
struct HttpThreadState {
  // All references outlive it. `threads`: how many share the process's limits.
  HttpThreadState(const HttpLimits& limits_in, const std::vector<IpNetwork>& trusted_proxies_in,
                  const Clock& clock_in, MetricRegistry& registry, uint64_t id_seed,
                  int32_t threads)
      : limits(limits_in),
        trusted_proxies(trusted_proxies_in),
        clock(clock_in),
        metrics(registry),
        ids(id_seed),
        input_bytes_max(limits_in.input_bytes_total_max / threads),
        unsent_bytes_max(limits_in.unsent_bytes_total_max / threads) {}

  const HttpLimits& limits;
  const std::vector<IpNetwork>& trusted_proxies;
  const Clock& clock;
  HttpMetrics metrics;
  IdGenerator ids;
  HttpHandler* handler = nullptr;
  std::function<void()> connection_closed;
  bool draining = false;

  std::unordered_set<HttpConnection*> connections;
  // Those that wait for a request, the longest first: at the limit of connections they go first.
  std::list<HttpConnection*> waiting;

  // What all connections of this thread hold.
  const int64_t input_bytes_max;
  int64_t input_bytes = 0;
  const int64_t unsent_bytes_max;
  int64_t unsent_bytes = 0;

  std::string date;  // of `date_second`, as it stands in heads
  int64_t date_second = 0;
  // What one read takes in, before it is given to its connection: one buffer for all.
  std::vector<char> read_buffer = std::vector<char>(size_t{64} << 10);
};

}  // namespace spillway
