#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/mutex.h"
#include "router/store.h"
#include "server/auth/tenant.h"

namespace spillway {

// Knows which tokens are valid. It holds a snapshot of the store in memory, so that no request
// waits for a database; whoever owns it calls Update() every second or so, which is how long a
// revocation takes.
//
// Thread-safe.
class Authenticator {
 public:
  // `fixed_sha256_hex` are valid besides the store's, for the tenant "default".
  explicit Authenticator(const std::vector<std::string>& fixed_sha256_hex);

  // Both from now on, each beside what the other said last; call them on one thread.
  void SetFixed(const std::vector<std::string>& fixed_sha256_hex) EXCLUDES(mutex_);
  // The store's tokens; revoked ones are left out.
  void Update(const std::vector<TokenRecord>& tokens) EXCLUDES(mutex_);

  // nullopt for a token that isn't valid. Digests are compared in constant time.
  std::optional<Tenant> Check(std::string_view token) const EXCLUDES(mutex_);

  // Whether no token at all is valid.
  bool empty() const EXCLUDES(mutex_);

 private:
  struct Entry {
    std::string sha256_hex;
    std::string tenant;
    std::string name;
  };
  using Entries = std::vector<Entry>;  // ordered by sha256_hex

  std::shared_ptr<const Entries> Snapshot() const EXCLUDES(mutex_);
  void Publish() EXCLUDES(mutex_);

  // Touched by the thread that updates only.
  Entries fixed_;
  Entries stored_;

  mutable Mutex mutex_;
  std::shared_ptr<const Entries> entries_ GUARDED_BY(mutex_);
};

}  // namespace spillway
