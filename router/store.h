#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace spillway {

// A client's token as it is kept: never the token itself, only its SHA-256.
struct TokenRecord {
  std::string id;    // short, public, for lists and revocation: "tok_1a2b3c4d"
  std::string name;  // given by its maker; unique among live tokens
  std::string tenant;
  std::string sha256_hex;
  absl::Time created;
  std::optional<absl::Time> revoked;
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
};

}  // namespace spillway
