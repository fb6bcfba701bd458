#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "router/store.h"
#include "router/token_account.h"
#include "server/auth/tenant.h"

namespace spillway {

// Knows which tokens are valid. It holds a snapshot of the store in memory, so that no request
// waits for a database; whoever owns it calls Update() every second or so, which is how long a
// revocation takes.
//
// Thread-safe.
class Authenticator {
 public:
  // `fixed_sha256_hex` are valid besides the store's, for the tenant "default". `clock` must
  // outlive it and all that it gives out.
  Authenticator(const std::vector<std::string>& fixed_sha256_hex, const Clock& clock);

  // What tokens had used of the day before this object was made, by their ids. Call it before the
  // first Update().
  struct PastUse {
    int64_t requests = 0;
    int64_t tokens = 0;
  };
  void SetPast(const std::map<std::string, PastUse>& past);

  // Both from now on, each beside what the other said last; call them on one thread.
  void SetFixed(const std::vector<std::string>& fixed_sha256_hex) EXCLUDES(mutex_);
  // The store's tokens; revoked ones are left out. Each keeps its account, and what that has used.
  void Update(const std::vector<TokenRecord>& tokens) EXCLUDES(mutex_);

  // nullopt for a token that isn't valid. One that has expired, or is used from elsewhere than it
  // may be, is found all the same: the caller says so. Digests are compared in constant time.
  std::optional<Tenant> Check(std::string_view token) const EXCLUDES(mutex_);

  // Likewise for a signature of PAI-EAS's SDKs (eas_signature.h), of any of `signed_texts`.
  std::optional<Tenant> CheckEasSignature(std::string_view signature,
                                          std::span<const std::string> signed_texts) const
      EXCLUDES(mutex_);

  // Whether no token at all is valid.
  bool empty() const EXCLUDES(mutex_);

 private:
  struct Entry {
    std::string sha256_hex;
    Tenant tenant;
    std::string eas_key = {};  // empty: it doesn't sign
  };
  using Accounts = std::map<std::string, std::shared_ptr<TokenAccount>>;  // by id
  using Entries = std::vector<Entry>;                                     // ordered by sha256_hex

  std::shared_ptr<const Entries> Snapshot() const EXCLUDES(mutex_);
  void Publish() EXCLUDES(mutex_);
  Tenant TenantOf(const TokenRecord& token);

  const Clock& clock_;
  // Touched by the thread that updates only.
  Entries fixed_;
  Entries stored_;
  Accounts accounts_;                    // of the store's
  std::map<std::string, PastUse> past_;  // of those that have no account yet
  const std::shared_ptr<TokenAccount> fixed_account_;

  mutable Mutex mutex_;
  std::shared_ptr<const Entries> entries_ GUARDED_BY(mutex_);
};

}  // namespace spillway
