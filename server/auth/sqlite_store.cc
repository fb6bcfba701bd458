#include "server/auth/sqlite_store.h"

#include <fcntl.h>
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
#include "server/auth/sqlite_budget.h"
#include "server/auth/sqlite_database.h"
#include "server/auth/sqlite_usage.h"

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
)sql",
    // Minutes are kept for two days; what they hold is in the days, too.
    R"sql(
  CREATE TABLE usage_days (
    day INTEGER NOT NULL,
    token_id TEXT NOT NULL,
    service TEXT NOT NULL,
    upstream TEXT NOT NULL,
    currency TEXT NOT NULL,
    requests INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    PRIMARY KEY (day, token_id, service, upstream, currency)
  ) WITHOUT ROWID;
  CREATE TABLE usage_minutes (
    minute INTEGER NOT NULL,
    token_id TEXT NOT NULL,
    service TEXT NOT NULL,
    upstream TEXT NOT NULL,
    currency TEXT NOT NULL,
    requests INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    PRIMARY KEY (minute, token_id, service, upstream, currency)
  ) WITHOUT ROWID;
  CREATE TABLE usage_writers (writer TEXT PRIMARY KEY, last_batch INTEGER NOT NULL);
)sql",
    // A reservation counts as spent until it is settled; then it is spending, of its day and, a
    // second time, of its month.
    R"sql(
  CREATE TABLE money_reservations (
    id TEXT PRIMARY KEY,
    token_id TEXT NOT NULL,
    service TEXT NOT NULL,
    provider TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount_nano INTEGER NOT NULL,
    day INTEGER NOT NULL,
    month INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE money_spent (
    period INTEGER NOT NULL,
    period_index INTEGER NOT NULL,
    token_id TEXT NOT NULL,
    service TEXT NOT NULL,
    provider TEXT NOT NULL,
    currency TEXT NOT NULL,
    spent_nano INTEGER NOT NULL,
    PRIMARY KEY (period, period_index, token_id, service, provider, currency)
  ) WITHOUT ROWID;
  ALTER TABLE tokens ADD COLUMN budget_currency TEXT NOT NULL DEFAULT '';
  ALTER TABLE tokens ADD COLUMN budget_day_nano INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tokens ADD COLUMN budget_month_nano INTEGER NOT NULL DEFAULT 0;
)sql",
    R"sql(
  ALTER TABLE tokens ADD COLUMN eas_key TEXT NOT NULL DEFAULT '';
  ALTER TABLE tokens ADD COLUMN previous_eas_key TEXT NOT NULL DEFAULT '';
)sql"};
constexpr int64_t kSchemaVersion = std::size(kSchemas);

absl::StatusOr<int64_t> ReadSchemaVersion(sqlite3* database) {
  RETURN_IF_ERROR(
      ExecuteSql(database, "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"));
  ASSIGN_OR_RETURN(Statement select,
                   Statement::Prepare(database, "SELECT version FROM schema_version"));
  ASSIGN_OR_RETURN(const bool found, select.Step());
  return found ? select.Number(0) : 0;
}

// Inside one transaction, so that two processes can't both make the tables.
absl::Status Migrate(sqlite3* database) {
  return InTransaction(database, [database]() -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t version, ReadSchemaVersion(database));
    if (version > kSchemaVersion) {
      return absl::FailedPreconditionError(absl::StrCat("the store has schema version ", version,
                                                        ", this program knows only up to ",
                                                        kSchemaVersion, ": use a newer spillway"));
    }
    if (version == kSchemaVersion) return absl::OkStatus();
    for (int64_t next = version; next < kSchemaVersion; ++next) {
      RETURN_IF_ERROR(ExecuteSql(database, kSchemas[next]));
    }
    return ExecuteSql(database, absl::StrCat("DELETE FROM schema_version;"
                                             "INSERT INTO schema_version VALUES (",
                                             kSchemaVersion, ")")
                                    .c_str());
  });
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
         networks, expires_ms, previous_sha256_hex, previous_until_ms, budget_currency,
         budget_day_nano, budget_month_nano, eas_key, previous_eas_key
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
                  .concurrency = row.Number(12),
                  .budget_currency = row.Text(17),
                  .budget_day_nano = row.Number(18),
                  .budget_month_nano = row.Number(19)};
  token.networks = SplitLines(row.Text(13));
  token.expires = TimeAt(row, 14);
  token.previous_sha256_hex = row.Text(15);
  token.previous_until = TimeAt(row, 16);
  token.eas_key = row.Text(20);
  token.previous_eas_key = row.Text(21);
  return token;
}

// What both a new token and a change have, in this order, from the statement's next parameter on.
constexpr char kLimitColumns[] =
    "models, aliases, requests_per_minute, tokens_per_minute, requests_per_day, tokens_per_day, "
    "concurrency, budget_currency, budget_day_nano, budget_month_nano, networks, expires_ms";

void BindLimits(const TokenRecord& token, Statement& statement) {
  const TokenLimits& limits = token.limits;
  statement.Bind(JoinLines(limits.models)).Bind(JoinAliases(limits.aliases));
  statement.Bind(limits.requests_per_minute).Bind(limits.tokens_per_minute);
  statement.Bind(limits.requests_per_day).Bind(limits.tokens_per_day).Bind(limits.concurrency);
  statement.Bind(limits.budget_currency).Bind(limits.budget_day_nano);
  statement.Bind(limits.budget_month_nano).Bind(JoinLines(token.networks)).Bind(token.expires);
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
                         "created_ms, eas_key, ",
                         kLimitColumns,
                         ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .c_str()));
    insert.Bind(token.id).Bind(token.name).Bind(token.tenant).Bind(token.sha256_hex);
    insert.Bind(absl::ToUnixMillis(token.created)).Bind(token.eas_key);
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
                                                         ") = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                                                         "WHERE id = ? AND revoked_ms IS NULL")
                                                .c_str()));
    BindLimits(token, update);
    update.Bind(token.id);
    return ChangeOne(update, token.id);
  }

  absl::Status RotateToken(std::string_view id_or_name, std::string_view sha256_hex,
                           std::string_view eas_key, absl::Time previous_until) override
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(Statement update,
                     Statement::Prepare(database_.get(),
                                        "UPDATE tokens SET previous_sha256_hex = sha256_hex, "
                                        "previous_until_ms = ?, sha256_hex = ?, "
                                        "previous_eas_key = eas_key, "
                                        "eas_key = CASE eas_key WHEN '' THEN '' ELSE ? END "
                                        "WHERE (id = ? OR name = ?) AND revoked_ms IS NULL"));
    update.Bind(absl::ToUnixMillis(previous_until)).Bind(sha256_hex).Bind(eas_key);
    update.Bind(id_or_name).Bind(id_or_name);
    return ChangeOne(update, id_or_name);
  }

  absl::Status AddUsage(const UsageBatch& batch) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return WriteUsage(database_.get(), batch);
  }

  absl::StatusOr<std::vector<std::optional<MoneyRefusal>>> ReserveMoney(
      std::span<const MoneyAsk> asks, absl::Time wall) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return ReserveMoneyIn(database_.get(), asks, wall);
  }

  absl::Status SettleMoney(std::span<const MoneySettlement> settlements) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return SettleMoneyIn(database_.get(), settlements);
  }

  absl::StatusOr<int64_t> ExpireMoney(absl::Time before) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return ExpireMoneyIn(database_.get(), before);
  }

  absl::StatusOr<MoneyUsed> UsedMoney(const MoneyLimit& limit, absl::Time wall) const override
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return ReadMoney(database_.get(), limit, wall);
  }

  absl::StatusOr<std::vector<UsageEntry>> ListUsage(int64_t since_day, bool minutes) const override
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return ReadUsage(database_.get(), since_day, minutes);
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
  // One that is there isn't opened here: closing it would drop the locks that this process's other
  // connections have on it (POSIX's rule), and the next process to leave would delete their log.
  const int file = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 && errno != EEXIST) {
    return absl::UnavailableError(
        absl::StrCat("can't open the store ", options.path, ": ", std::strerror(errno)));
  }
  if (file >= 0) ::close(file);
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(options.path.c_str(), &raw,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, nullptr);
  Database database(raw);
  if (opened != SQLITE_OK) return SqliteStatus(raw, "open");
  sqlite3_busy_timeout(raw, static_cast<int>(absl::ToInt64Milliseconds(options.lock_wait)));
  RETURN_IF_ERROR(ExecuteSql(raw, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"));
  RETURN_IF_ERROR(Migrate(raw));
  return std::make_unique<SqliteStore>(std::move(database));
}

}  // namespace spillway
