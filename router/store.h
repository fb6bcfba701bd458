#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/budget.h"
#include "router/token_limits.h"
#include "router/usage_books.h"

namespace spillway {

// A client's token as it is kept: never the token itself, only its SHA-256.
struct TokenRecord {
  std::string id;    // short, public, for lists and revocation: "tok_1a2b3c4d"
  std::string name;  // given by its maker; unique among live tokens
  std::string tenant;
  std::string sha256_hex;
  absl::Time created;
  std::optional<absl::Time> revoked;
  TokenLimits limits = {};
  std::optional<absl::Time> expires = {};
  std::vector<std::string> networks = {};  // that it may be used from, as IpNetwork reads them
  // Of the token that was valid before this one took its place, until then.
  std::string previous_sha256_hex = {};
  std::optional<absl::Time> previous_until = {};
  // What signatures of PAI-EAS's SDKs made with it are checked by (server/auth/eas_signature.h);
  // empty: it makes none.
  std::string eas_key = {};
  std::string previous_eas_key = {};
};

// What a reservation came to.
struct MoneySettlement {
  std::string id;
  int64_t cost_nano = 0;
};

// What must survive a restart. SQLite on one machine; a shared database for several routers is a
// second implementation, later.
//
// Thread-safe. UNAVAILABLE: the disk is full or the store is locked; nothing was changed.
class Store {
 public:
  virtual ~Store() = default;

  // ALREADY_EXISTS: a live token has that name.
  virtual absl::Status AddToken(const TokenRecord& token) = 0;
  virtual absl::StatusOr<std::vector<TokenRecord>> ListTokens() const = 0;
  // NOT_FOUND: no live token with that id or name.
  virtual absl::Status RevokeToken(std::string_view id_or_name, absl::Time now) = 0;
  // Limits, expiry and networks become those of `token`, by its id; all else stays as it is.
  // NOT_FOUND: no live token has that id.
  virtual absl::Status ChangeToken(const TokenRecord& token) = 0;
  // Another secret takes the token's place; the old one stays valid until `previous_until`. Its
  // `eas_key` is kept only if the old one had one.
  // NOT_FOUND: as of RevokeToken.
  virtual absl::Status RotateToken(std::string_view id_or_name, std::string_view sha256_hex,
                                   std::string_view eas_key, absl::Time previous_until) = 0;

  // All of it or nothing; nothing if its writer's batch of that number was written already.
  virtual absl::Status AddUsage(const UsageBatch& batch) = 0;
  // Of the days from `since_day` (since 1970, in UTC) on, oldest first; `minutes`: by minutes,
  // which are kept for two days.
  virtual absl::StatusOr<std::vector<UsageEntry>> ListUsage(int64_t since_day,
                                                            bool minutes) const = 0;

  // Decides about each by DecideMoney, in their order, and reserves what may be spent: all of that
  // or, on an error, nothing.
  virtual absl::StatusOr<std::vector<std::optional<MoneyRefusal>>> ReserveMoney(
      std::span<const MoneyAsk> asks, absl::Time wall) = 0;
  // The reservations become spending, in the day and month that they were made in. Those that are
  // not there change nothing.
  virtual absl::Status SettleMoney(std::span<const MoneySettlement> settlements) = 0;
  // Those made before `before` are spent in full; how many that were.
  virtual absl::StatusOr<int64_t> ExpireMoney(absl::Time before) = 0;
  virtual absl::StatusOr<MoneyUsed> UsedMoney(const MoneyLimit& limit, absl::Time wall) const = 0;
};

}  // namespace spillway
