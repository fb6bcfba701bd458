#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "server/http/http_limits.h"
#include "server/http/http_listener.h"
#include "server/http/http_pool.h"
#include "server/http/http_types.h"
#include "server/http/ip_address.h"

namespace spillway {

struct HttpServerOptions {
  std::vector<HttpListener> listeners;
  int32_t threads = 1;
  HttpLimits limits;
  std::vector<IpNetwork> trusted_proxies;  // who may tell in X-Forwarded-For whom they speak for
  uint64_t id_seed = 0;                    // of the request ids that it makes
};

// Speaks HTTP/1.1 and 1.0 on its listeners: one event loop per thread, each with its own
// SO_REUSEPORT acceptor, so that a connection stays on one thread and nothing is locked per token.
//
// Life: construct, SetHandler() and RunEvery() for each thread, Start(), and in the end
// StopAccepting(), WaitUntilIdle(), Stop(). All but the handlers' calls happen on the owner's
// thread; the handlers must outlive Stop(), clock and metrics the server.
class HttpServer {
 public:
  HttpServer(HttpServerOptions options, const Clock& clock, MetricRegistry& metrics);
  ~HttpServer();  // Stop()

  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int32_t thread_count() const;

  // Runs functions on thread `thread`; callable from any thread, also before Start(). What is
  // posted after Stop() never runs. It must not be called after the server is destroyed.
  std::function<void(std::function<void()>)> Poster(int32_t thread);

  // Requires Start() not called yet.
  void SetHandler(int32_t thread, HttpHandler& handler);
  void RunEvery(int32_t thread, absl::Duration interval, std::function<void()> function);

  // Connections to another server, on thread `thread`, where alone it may be used once Start() was
  // called. Stop() closes it, after the operations have been destroyed; it lives as long as this
  // server.
  HttpPool& AddPool(int32_t thread, HttpPoolOptions options);

  // Binds the listeners and starts the threads.
  //   INVALID_ARGUMENT  an address is not host:port
  //   ALREADY_EXISTS    somebody listens there
  //   UNAVAILABLE       the machine refused otherwise
  // After a failure nothing is bound and no thread runs.
  absl::Status Start();

  // "127.0.0.1:43211" per listener, with the ports that were chosen. After Start().
  std::vector<std::string> bound_addresses() const;

  // Closes the listeners and idle connections; answers in the making go on, each the last of its
  // connection.
  void StopAccepting();

  // Waits until no connection is left; false when `timeout` passed first.
  bool WaitUntilIdle(absl::Duration timeout);

  // Cuts what is left (operations are destroyed on their threads) and joins the threads.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
