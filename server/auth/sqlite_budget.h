#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/budget.h"
#include "router/store.h"

struct sqlite3;

namespace spillway {

// The tables of money in a store, made by SqliteStore's schema. As router/store.h has these calls;
// all run on the caller's connection, one at a time.

absl::StatusOr<std::vector<std::optional<MoneyRefusal>>> ReserveMoneyIn(
    sqlite3* database, std::span<const MoneyAsk> asks, absl::Time wall);
absl::Status SettleMoneyIn(sqlite3* database, std::span<const MoneySettlement> settlements);
absl::StatusOr<int64_t> ExpireMoneyIn(sqlite3* database, absl::Time before);
absl::StatusOr<MoneyUsed> ReadMoney(sqlite3* database, const MoneyLimit& limit, absl::Time wall);

}  // namespace spillway
