#include "server/auth/sqlite_usage.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/auth/sqlite_database.h"

namespace spillway {
namespace {

constexpr int64_t kMinutesPerDay = 24 * 60;
constexpr int64_t kMinutesKept = 2 * kMinutesPerDay;
// Who has written nothing while others wrote so many is gone.
constexpr int64_t kBatchesRemembered = 1'000'000;

struct Table {
  const char* name;
  const char* time;  // its column
};
constexpr Table kDays = {"usage_days", "day"};
constexpr Table kMinutes = {"usage_minutes", "minute"};

absl::StatusOr<Statement> PrepareAdd(sqlite3* database, const Table& table) {
  return Statement::Prepare(
      database,
      absl::StrCat("INSERT INTO ", table.name, " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ",
                   "ON CONFLICT (", table.time, ", token_id, service, upstream, currency) ",
                   "DO UPDATE SET requests = requests + excluded.requests, "
                   "failures = failures + excluded.failures, "
                   "prompt_tokens = prompt_tokens + excluded.prompt_tokens, "
                   "cached_tokens = cached_tokens + excluded.cached_tokens, "
                   "completion_tokens = completion_tokens + excluded.completion_tokens, "
                   "cost_nano = cost_nano + excluded.cost_nano")
          .c_str());
}

absl::Status Add(Statement& add, int64_t time, const UsageRow& row) {
  const UsageCounts& counts = row.counts;
  add.Reset();
  add.Bind(time).Bind(row.key.token_id).Bind(row.key.service).Bind(row.key.upstream);
  add.Bind(row.key.currency).Bind(counts.requests).Bind(counts.failures);
  add.Bind(counts.prompt_tokens).Bind(counts.cached_tokens).Bind(counts.completion_tokens);
  return add.Bind(counts.cost_nano).Step().status();
}

absl::StatusOr<bool> IsWritten(sqlite3* database, const UsageBatch& batch) {
  ASSIGN_OR_RETURN(
      Statement last,
      Statement::Prepare(database, "SELECT last_batch FROM usage_writers WHERE writer = ?"));
  ASSIGN_OR_RETURN(const bool found, last.Bind(batch.writer).Step());
  return found && last.Number(0) >= batch.number;
}

absl::Status NoteWritten(sqlite3* database, const UsageBatch& batch) {
  // A new row each time, so that the oldest rowids are those of writers that are gone.
  ASSIGN_OR_RETURN(
      Statement note,
      Statement::Prepare(database, "INSERT OR REPLACE INTO usage_writers VALUES (?, ?)"));
  RETURN_IF_ERROR(note.Bind(batch.writer).Bind(batch.number).Step().status());
  return ExecuteSql(database, absl::StrCat("DELETE FROM usage_writers WHERE rowid <= "
                                           "(SELECT max(rowid) FROM usage_writers) - ",
                                           kBatchesRemembered)
                                  .c_str());
}

absl::Status WriteRows(sqlite3* database, const UsageBatch& batch) {
  ASSIGN_OR_RETURN(Statement add_day, PrepareAdd(database, kDays));
  ASSIGN_OR_RETURN(Statement add_minute, PrepareAdd(database, kMinutes));
  int64_t latest = 0;
  for (const UsageRow& row : batch.rows) {
    RETURN_IF_ERROR(Add(add_day, row.key.minute / kMinutesPerDay, row));
    RETURN_IF_ERROR(Add(add_minute, row.key.minute, row));
    latest = std::max(latest, row.key.minute);
  }
  ASSIGN_OR_RETURN(Statement forget,
                   Statement::Prepare(database, "DELETE FROM usage_minutes WHERE minute < ?"));
  return forget.Bind(latest - kMinutesKept).Step().status();
}

}  // namespace

absl::Status WriteUsage(sqlite3* database, const UsageBatch& batch) {
  return InTransaction(database, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const bool written, IsWritten(database, batch));
    if (written) return absl::OkStatus();
    RETURN_IF_ERROR(WriteRows(database, batch));
    return NoteWritten(database, batch);
  });
}

absl::StatusOr<std::vector<UsageEntry>> ReadUsage(sqlite3* database, int64_t since_day,
                                                  bool minutes) {
  const Table& table = minutes ? kMinutes : kDays;
  const int64_t unit = minutes ? kMinutesPerDay : 1;
  ASSIGN_OR_RETURN(
      Statement select,
      Statement::Prepare(
          database,
          absl::StrCat("SELECT ", table.time,
                       ", token_id, coalesce((SELECT name FROM tokens WHERE id = token_id), "
                       "token_id), service, upstream, currency, requests, failures, "
                       "prompt_tokens, cached_tokens, completion_tokens, cost_nano FROM ",
                       table.name, " WHERE ", table.time, " >= ? ORDER BY ", table.time,
                       ", 3, service, upstream, currency")
              .c_str()));
  select.Bind(since_day * unit);
  std::vector<UsageEntry> entries;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return entries;
    UsageEntry entry;
    entry.day = select.Number(0) / unit;
    entry.minute = minutes ? select.Number(0) : 0;
    entry.token_id = select.Text(1);
    entry.token_name = select.Text(2);
    entry.service = select.Text(3);
    entry.upstream = select.Text(4);
    entry.currency = select.Text(5);
    entry.counts = {.requests = select.Number(6),
                    .failures = select.Number(7),
                    .prompt_tokens = select.Number(8),
                    .cached_tokens = select.Number(9),
                    .completion_tokens = select.Number(10),
                    .cost_nano = select.Number(11)};
    entries.push_back(std::move(entry));
  }
}

}  // namespace spillway
