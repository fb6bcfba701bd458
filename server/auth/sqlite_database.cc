#include "server/auth/sqlite_database.h"

#include "absl/strings/str_cat.h"

namespace spillway {

absl::Status SqliteStatus(sqlite3* database, const char* doing) {
  const std::string message = absl::StrCat("store: ", doing, ": ", sqlite3_errmsg(database));
  switch (sqlite3_errcode(database)) {
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError(message);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return absl::FailedPreconditionError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::Status ExecuteSql(sqlite3* database, const char* sql) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return SqliteStatus(database, "execute");
  }
  return absl::OkStatus();
}

absl::StatusOr<Statement> Statement::Prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) != SQLITE_OK) {
    return SqliteStatus(database, "prepare");
  }
  return Statement(database, statement);
}

Statement& Statement::Bind(std::string_view text) {
  sqlite3_bind_text(statement_.get(), ++bound_, text.empty() ? "" : text.data(),
                    static_cast<int>(text.size()), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::Bind(int64_t number) {
  sqlite3_bind_int64(statement_.get(), ++bound_, number);
  return *this;
}

Statement& Statement::Bind(std::optional<absl::Time> time) {
  if (time) return Bind(absl::ToUnixMillis(*time));
  sqlite3_bind_null(statement_.get(), ++bound_);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return SqliteStatus(database_, "step");
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  bound_ = 0;
}

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_.get(), column);
  return text == nullptr ? "" : reinterpret_cast<const char*>(text);
}

}  // namespace spillway
