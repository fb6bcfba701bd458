#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

// SQLite as our stores use it. For their .cc files alone: it shows sqlite3.h.

namespace spillway {

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// ALREADY_EXISTS for a broken constraint, FAILED_PRECONDITION for a file that is no database,
// UNAVAILABLE for all else: busy, locked, full, I/O error, read-only, …
absl::Status SqliteStatus(sqlite3* database, const char* doing);

absl::Status ExecuteSql(sqlite3* database, const char* sql);

// A statement with its values, bound in order.
class Statement {
 public:
  static absl::StatusOr<Statement> Prepare(sqlite3* database, const char* sql);

  Statement& Bind(std::string_view text);
  Statement& Bind(int64_t number);
  Statement& Bind(std::optional<absl::Time> time);  // in milliseconds

  // True: there is a row to read. False: the statement is done.
  absl::StatusOr<bool> Step();
  // To be bound and stepped again.
  void Reset();

  std::string Text(int column) const;
  int64_t Number(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  bool IsNull(int column) const {
    return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
  }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  Statement(sqlite3* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}

  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bound_ = 0;
};

// Runs `work` in a transaction of its own: all of it is done, or on an error nothing.
template <typename Work>
absl::Status InTransaction(sqlite3* database, const Work& work) {
  absl::Status status = ExecuteSql(database, "BEGIN IMMEDIATE");
  if (!status.ok()) return status;
  status = work();
  if (status.ok()) status = ExecuteSql(database, "COMMIT");
  if (!status.ok()) sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

}  // namespace spillway
