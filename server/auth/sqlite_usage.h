#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "router/usage_books.h"

struct sqlite3;

namespace spillway {

// The tables of usage in a store, made by SqliteStore's schema. All calls run on the caller's
// connection, one at a time.

// In one transaction; nothing if the writer's batch of that number is there already.
absl::Status WriteUsage(sqlite3* database, const UsageBatch& batch);

// Of the days from `since` on, oldest first; `minutes`: of the minutes of the last two days
// instead.
absl::StatusOr<std::vector<UsageEntry>> ReadUsage(sqlite3* database, int64_t since_day,
                                                  bool minutes);

}  // namespace spillway
