#include "server/auth/failure_limiter.h"

#include <algorithm>

namespace spillway {

absl::Duration FailureLimiter::WaitBefore(const IpAddress& client, std::string_view token_sha256,
                                          absl::Time now) {
  MutexLock lock(mutex_);
  if (by_address_.find(ClientNetwork(client).bytes) == by_address_.end()) {
    return absl::ZeroDuration();
  }
  const Network& network = Touch(client, now);
  const double over = network.failures + 1 - limits_.failures_per_minute;
  if (over <= 0) return absl::ZeroDuration();
  const auto& known = network.known_tokens;
  if (std::find(known.begin(), known.end(), token_sha256) != known.end()) {
    return absl::ZeroDuration();
  }
  return over * absl::Minutes(1) / limits_.failures_per_minute;
}

bool FailureLimiter::OnFailure(const IpAddress& client, absl::Time now) {
  MutexLock lock(mutex_);
  Network& network = Touch(client, now);
  network.failures += 1;
  if (network.failures + 1 <= limits_.failures_per_minute ||
      now - network.told < absl::Minutes(1)) {
    return false;
  }
  network.told = now;
  return true;
}

void FailureLimiter::OnSuccess(const IpAddress& client, std::string_view token_sha256,
                               absl::Time now) {
  MutexLock lock(mutex_);
  auto& known = Touch(client, now).known_tokens;
  const auto found = std::find(known.begin(), known.end(), token_sha256);
  if (found != known.end()) {
    std::rotate(found, found + 1, known.end());
    return;
  }
  if (known.size() == limits_.known_tokens_max) known.erase(known.begin());
  known.emplace_back(token_sha256);
}

size_t FailureLimiter::networks() const {
  MutexLock lock(mutex_);
  return networks_.size();
}

FailureLimiter::Network& FailureLimiter::Touch(const IpAddress& client, absl::Time now) {
  const IpAddress address = ClientNetwork(client);
  auto found = by_address_.find(address.bytes);
  if (found == by_address_.end()) {
    if (networks_.size() == limits_.networks_max) {
      by_address_.erase(networks_.front().address.bytes);
      networks_.pop_front();
    }
    networks_.push_back({.address = address, .updated = now});
    found = by_address_.emplace(address.bytes, std::prev(networks_.end())).first;
  }
  networks_.splice(networks_.end(), networks_, found->second);
  Network& network = networks_.back();
  const double minutes = absl::FDivDuration(now - network.updated, absl::Minutes(1));
  network.failures = std::max(0.0, network.failures - minutes * limits_.failures_per_minute);
  network.updated = now;
  return network;
}

}  // namespace spillway
