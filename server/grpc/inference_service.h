#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/tls/tls_files.h"
#include "router/router.h"
#include "server/auth/authenticator.h"
#include "server/auth/failure_limiter.h"
#include "server/dialects/dialect_limits.h"

namespace spillway {

struct InferenceServerOptions {
  std::string address;  // HOST:PORT; port 0 takes a free one
  TlsFiles tls;         // none: without TLS. Files that change are taken up within seconds
  bool token_required = true;
  bool loopback = true;  // only this machine can connect
  DialectLimits limits = {};
  uint64_t id_seed = 0;                         // of the ids of requests that bring none
  size_t request_bytes_max = size_t{32} << 20;  // of one message; then RESOURCE_EXHAUSTED
  // Of events that a client hasn't taken; then its request is cancelled, with RESOURCE_EXHAUSTED.
  size_t unsent_bytes_max = size_t{1} << 20;
  absl::Duration stop_max = absl::Seconds(5);  // how long Stop() waits for calls to end
};

// The part of a router that calls run on: a shard and the way to its thread.
struct InferenceShard {
  RouterShard* shard = nullptr;
  std::function<void(std::function<void()>)> post;
};

// proto/inference.proto over the network, with grpc.health.v1: the same tokens, limits and router
// as over HTTP. Calls go to the shards in turn, each on its shard's thread.
//
// Threads: gRPC's own take calls in and write; the owner's thread calls the rest.
class InferenceServer {
 public:
  virtual ~InferenceServer() = default;

  // What it is made of; all outlive it, and `post` runs what it gets until Stop() has returned.
  struct Parts {
    const Router& router;
    std::vector<InferenceShard> shards;
    const Authenticator& authenticator;
    FailureLimiter& failures;
    const Clock& clock;
  };

  // UNAVAILABLE: it can't listen there.
  static absl::StatusOr<std::unique_ptr<InferenceServer>> Start(InferenceServerOptions options,
                                                                Parts parts);

  // With the port that was taken.
  virtual const std::string& address() const = 0;
  virtual int32_t calls_in_flight() const = 0;  // of Generate
  // What grpc.health.v1 says.
  virtual void SetReady(bool ready) = 0;
  // Takes no more calls, ends those under way after stop_max at the latest, and waits for them.
  // Requires that `post` still runs what it gets.
  virtual void Stop() = 0;
};

}  // namespace spillway
