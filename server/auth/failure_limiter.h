#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "server/http/ip_address.h"

namespace spillway {

struct FailureLimits {
  int32_t failures_per_minute = 20;  // of one client network
  size_t networks_max = 4096;   // remembered; then the one not heard of for longest is forgotten
  size_t known_tokens_max = 8;  // of one network
};

// Decides who may still try tokens. An address that sent too many wrong ones is told to wait before
// its next try is looked at, so that nobody can guess at the speed of the network.
//
// Many clients can share an address: behind one router, or behind a proxy that isn't trusted. So
// who came in with a token from there before comes in still: only strangers wait.
//
// Failures are counted in a bucket that empties at the permitted rate. Time is an argument.
// Thread-safe.
class FailureLimiter {
 public:
  explicit FailureLimiter(const FailureLimits& limits) : limits_(limits) {}

  // Zero: look at the token. Else: how long to wait, and don't look.
  absl::Duration WaitBefore(const IpAddress& client, std::string_view token_sha256, absl::Time now)
      EXCLUDES(mutex_);

  // True when somebody should be told: at the limit, once a minute for one network.
  bool OnFailure(const IpAddress& client, absl::Time now) EXCLUDES(mutex_);
  void OnSuccess(const IpAddress& client, std::string_view token_sha256, absl::Time now)
      EXCLUDES(mutex_);

  size_t networks() const EXCLUDES(mutex_);

 private:
  struct Network {
    IpAddress address;
    double failures = 0;  // in the bucket, at `updated`
    absl::Time updated;
    absl::Time told = absl::InfinitePast();
    std::vector<std::string> known_tokens;  // SHA-256, the latest last
  };
  using Networks = std::list<Network>;  // the one not heard of for longest first

  // Empties the bucket up to now, and makes it the latest.
  Network& Touch(const IpAddress& client, absl::Time now) REQUIRES(mutex_);

  const FailureLimits limits_;
  mutable Mutex mutex_;
  Networks networks_ GUARDED_BY(mutex_);
  std::map<std::array<uint8_t, 16>, Networks::iterator> by_address_ GUARDED_BY(mutex_);
};

}  // namespace spillway
