#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "router/token_account.h"
#include "server/http/ip_address.h"

namespace spillway {

// Whose request it is, from its token.
struct Tenant {
  std::string name;
  std::string token_name;  // which of its tokens
  std::shared_ptr<TokenAccount> account = nullptr;
  std::optional<absl::Time> expires = {};                       // of the wall clock
  std::shared_ptr<const std::vector<IpNetwork>> networks = {};  // null: it may come from any
};

}  // namespace spillway
