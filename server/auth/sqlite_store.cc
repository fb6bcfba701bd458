#include "server/auth/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

// What made each version out of the one before; the last is the present one.
constexpr const char* kSchemas[] = {
    R"sql(
  CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    tenant TEXT NOT NULL,
    sha256_hex TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
  );
  CREATE UNIQUE INDEX live_token_names ON tokens (name) WHERE revoked_ms IS NULL;
)sql",
    // Lists are lines; aliases are lines "NAME=MODEL".
    R"sql(
  ALTER TABLE tokens ADD COLUMN models TEXT NOT NULL DEFAULT '';
  ALTER TABLE tokens ADD COLUMN aliases TEXT NOT NULL DEFAULT '';
  ALTER TABLE tokens ADD COLUMN requests_per_minute INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tokens ADD COLUMN tokens_per_minute INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tokens ADD COLUMN requests_per_day INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tokens ADD COLUMN tokens_per_day INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tokens ADD COLUMN concurrency INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tokens ADD COLUMN networks TEXT NOT NULL DEFAULT '';
  ALTER TABLE tokens ADD COLUMN expires_ms INTEGER;
  ALTER TABLE tokens ADD COLUMN previous_sha256_hex TEXT NOT NULL DEFAULT '';
  ALTER TABLE tokens ADD COLUMN previous_until_ms INTEGER;
)sql"};
constexpr int64_t kSchemaVersion = std::size(kSchemas);

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

absl::Status StatusOf(sqlite3* database, const char* doing) {
  const std::string message = absl::StrCat("store: ", doing, ": ", sqlite3_errmsg(database));
  switch (sqlite3_errcode(database)) {
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError(message);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return absl::FailedPreconditionError(message);
    default:  // busy, locked, full, I/O error, read-only, …
      return absl::UnavailableError(message);
  }
}

// A statement with its values, bound in order.
class Statement {
 public:
  static absl::StatusOr<Statement> Prepare(sqlite3* database, const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) != SQLITE_OK) {
      return StatusOf(database, "prepare");
    }
    return Statement(database, statement);
  }

  Statement& Bind(std::string_view text) {
    sqlite3_bind_text(statement_.get(), ++bound_, text.data(), static_cast<int>(text.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& Bind(int64_t number) {
    sqlite3_bind_int64(statement_.get(), ++bound_, number);
    return *this;
  }

  Statement& Bind(std::optional<absl::Time> time) {
    if (time) return Bind(absl::ToUnixMillis(*time));
    sqlite3_bind_null(statement_.get(), ++bound_);
    return *this;
  }

  // True: there is a row to read. False: the statement is done.
  absl::StatusOr<bool> Step() {
    const int result = sqlite3_step(statement_.get());
    if (result == SQLITE_ROW) return true;
    if (result == SQLITE_DONE) return false;
    return StatusOf(database_, "step");
  }

  std::string Text(int column) const {
    const unsigned char* text = sqlite3_column_text(statement_.get(), column);
    return text == nullptr ? "" : reinterpret_cast<const char*>(text);
  }
  int64_t Number(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  bool IsNull(int column) const {
    return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
  }

 private:
  Statement(sqlite3* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}

  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement_;
  int bound_ = 0;
};

absl::Status Execute(sqlite3* database, const char* sql) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return StatusOf(database, "execute");
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReadSchemaVersion(sqlite3* database) {
  RETURN_IF_ERROR(
      Execute(database, "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"));
  ASSIGN_OR_RETURN(Statement select,
                   Statement::Prepare(database, "SELECT version FROM schema_version"));
  ASSIGN_OR_RETURN(const bool found, select.Step());
  return found ? select.Number(0) : 0;
}

// Inside one transaction, so that two processes can't both make the tables.
absl::Status Migrate(sqlite3* database) {
  RETURN_IF_ERROR(Execute(database, "BEGIN IMMEDIATE"));
  const auto make = [database]() -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t version, ReadSchemaVersion(database));
    if (version > kSchemaVersion) {
      return absl::FailedPreconditionError(absl::StrCat("the store has schema version ", version,
                                                        ", this program knows only up to ",
                                                        kSchemaVersion, ": use a newer spillway"));
    }
    if (version == kSchemaVersion) return absl::OkStatus();
    for (int64_t next = version; next < kSchemaVersion; ++next) {
      RETURN_IF_ERROR(Execute(database, kSchemas[next]));
    }
    return Execute(database, absl::StrCat("DELETE FROM schema_version;"
                                          "INSERT INTO schema_version VALUES (",
                                          kSchemaVersion, ")")
                                 .c_str());
  };
  absl::Status status = make();
  if (status.ok()) status = Execute(database, "COMMIT");
  if (!status.ok()) sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

std::string JoinLines(const std::vector<std::string>& lines) { return absl::StrJoin(lines, "\n"); }

std::vector<std::string> SplitLines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

std::string JoinAliases(const std::map<std::string, std::string>& aliases) {
  return absl::StrJoin(aliases, "\n", absl::PairFormatter("="));
}

std::map<std::string, std::string> SplitAliases(const std::string& text) {
  std::map<std::string, std::string> aliases;
  for (const std::string& line : SplitLines(text)) {
    const size_t equals = line.find('=');
    if (equals != std::string::npos) aliases[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return aliases;
}

std::optional<absl::Time> TimeAt(const Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return absl::FromUnixMillis(row.Number(column));
}

constexpr char kSelectTokens[] = R"sql(
  SELECT id, name, tenant, sha256_hex, created_ms, revoked_ms, models, aliases,
         requests_per_minute, tokens_per_minute, requests_per_day, tokens_per_day, concurrency,
         networks, expires_ms, previous_sha256_hex, previous_until_ms
  FROM tokens ORDER BY created_ms, id)sql";

// A row of kSelectTokens.
TokenRecord ReadToken(const Statement& row) {
  TokenRecord token;
  token.id = row.Text(0);
  token.name = row.Text(1);
  token.tenant = row.Text(2);
  token.sha256_hex = row.Text(3);
  token.created = absl::FromUnixMillis(row.Number(4));
  token.revoked = TimeAt(row, 5);
  token.limits = {.models = SplitLines(row.Text(6)),
                  .aliases = SplitAliases(row.Text(7)),
                  .requests_per_minute = row.Number(8),
                  .tokens_per_minute = row.Number(9),
                  .requests_per_day = row.Number(10),
                  .tokens_per_day = row.Number(11),
                  .concurrency = row.Number(12)};
  token.networks = SplitLines(row.Text(13));
  token.expires = TimeAt(row, 14);
  token.previous_sha256_hex = row.Text(15);
  token.previous_until = TimeAt(row, 16);
  return token;
}

// What both a new token and a change have, in this order, from the statement's next parameter on.
constexpr char kLimitColumns[] =
    "models, aliases, requests_per_minute, tokens_per_minute, requests_per_day, tokens_per_day, "
    "concurrency, networks, expires_ms";

void BindLimits(const TokenRecord& token, Statement& statement) {
  const TokenLimits& limits = token.limits;
  statement.Bind(JoinLines(limits.models)).Bind(JoinAliases(limits.aliases));
  statement.Bind(limits.requests_per_minute).Bind(limits.tokens_per_minute);
  statement.Bind(limits.requests_per_day).Bind(limits.tokens_per_day).Bind(limits.concurrency);
  statement.Bind(JoinLines(token.networks)).Bind(token.expires);
}

class SqliteStore : public Store {
 public:
  explicit SqliteStore(Database database) : database_(std::move(database)) {}

  absl::Status AddToken(const TokenRecord& token) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(
        Statement insert,
        Statement::Prepare(
            database_.get(),
            absl::StrCat("INSERT INTO tokens (id, name, tenant, sha256_hex, "
                         "created_ms, ",
                         kLimitColumns, ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .c_str()));
    insert.Bind(token.id).Bind(token.name).Bind(token.tenant).Bind(token.sha256_hex);
    insert.Bind(absl::ToUnixMillis(token.created));
    BindLimits(token, insert);
    const absl::StatusOr<bool> row = insert.Step();
    if (absl::IsAlreadyExists(row.status())) {
      return absl::AlreadyExistsError(absl::StrCat("there is already a token named \"", token.name,
                                                   "\"; revoke it first or "
                                                   "choose another name"));
    }
    return row.status();
  }

  absl::StatusOr<std::vector<TokenRecord>> ListTokens() const override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(Statement select, Statement::Prepare(database_.get(), kSelectTokens));
    std::vector<TokenRecord> tokens;
    while (true) {
      ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) return tokens;
      tokens.push_back(ReadToken(select));
    }
  }

  absl::Status RevokeToken(std::string_view id_or_name, absl::Time now) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(Statement update,
                     Statement::Prepare(database_.get(),
                                        "UPDATE tokens SET revoked_ms = ? "
                                        "WHERE (id = ? OR name = ?) AND revoked_ms IS NULL"));
    update.Bind(absl::ToUnixMillis(now)).Bind(id_or_name).Bind(id_or_name);
    return ChangeOne(update, id_or_name);
  }

  absl::Status ChangeToken(const TokenRecord& token) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(
        Statement update,
        Statement::Prepare(database_.get(), absl::StrCat("UPDATE tokens SET (", kLimitColumns,
                                                         ") = (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                                                         "WHERE id = ? AND revoked_ms IS NULL")
                                                .c_str()));
    BindLimits(token, update);
    update.Bind(token.id);
    return ChangeOne(update, token.id);
  }

  absl::Status RotateToken(std::string_view id_or_name, std::string_view sha256_hex,
                           absl::Time previous_until) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(Statement update,
                     Statement::Prepare(database_.get(),
                                        "UPDATE tokens SET previous_sha256_hex = sha256_hex, "
                                        "previous_until_ms = ?, sha256_hex = ? "
                                        "WHERE (id = ? OR name = ?) AND revoked_ms IS NULL"));
    update.Bind(absl::ToUnixMillis(previous_until)).Bind(sha256_hex);
    update.Bind(id_or_name).Bind(id_or_name);
    return ChangeOne(update, id_or_name);
  }

 private:
  // Runs a change of the one live token that is called so.
  absl::Status ChangeOne(Statement& change, std::string_view id_or_name) REQUIRES(mutex_) {
    ASSIGN_OR_RETURN([[maybe_unused]] const bool row, change.Step());
    if (sqlite3_changes(database_.get()) > 0) return absl::OkStatus();
    return absl::NotFoundError(
        absl::StrCat("no live token has the id or name \"", std::string(id_or_name), "\""));
  }

  mutable Mutex mutex_;
  const Database database_;  // one call at a time, under mutex_
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options) {
  // SQLite would make it readable for all; its -wal and -shm files take this one's mode.
  const int file = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    return absl::UnavailableError(
        absl::StrCat("can't open the store ", options.path, ": ", std::strerror(errno)));
  }
  ::close(file);
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(options.path.c_str(), &raw,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, nullptr);
  Database database(raw);
  if (opened != SQLITE_OK) return StatusOf(raw, "open");
  sqlite3_busy_timeout(raw, static_cast<int>(absl::ToInt64Milliseconds(options.lock_wait)));
  RETURN_IF_ERROR(Execute(raw, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"));
  RETURN_IF_ERROR(Migrate(raw));
  return std::make_unique<SqliteStore>(std::move(database));
}

}  // namespace spillway
