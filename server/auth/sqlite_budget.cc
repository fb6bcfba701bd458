#include "server/auth/sqlite_budget.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/auth/sqlite_database.h"

namespace spillway {
namespace {

// As they stand in the tables.
constexpr int64_t kDay = 0;
constexpr int64_t kMonth = 1;

int64_t PeriodNumber(MoneyLimit::Period period) {
  return period == MoneyLimit::Period::kDay ? kDay : kMonth;
}

const char* ScopeColumn(MoneyLimit::Scope scope) {
  return scope == MoneyLimit::Scope::kToken ? "token_id" : "service";
}

absl::StatusOr<int64_t> Sum(sqlite3* database, const std::string& sql, const MoneyLimit& limit,
                            int64_t period_index) {
  ASSIGN_OR_RETURN(Statement sum, Statement::Prepare(database, sql.c_str()));
  ASSIGN_OR_RETURN([[maybe_unused]] const bool row,
                   sum.Bind(limit.name).Bind(limit.currency).Bind(period_index).Step());
  return sum.Number(0);
}

absl::Status Insert(sqlite3* database, const MoneyAsk& ask, absl::Time wall) {
  ASSIGN_OR_RETURN(
      Statement insert,
      Statement::Prepare(database, "INSERT INTO money_reservations VALUES (?,?,?,?,?,?,?,?,?)"));
  insert.Bind(ask.id).Bind(ask.token_id).Bind(ask.service).Bind(ask.provider).Bind(ask.currency);
  insert.Bind(ask.amount_nano).Bind(PeriodIndex(MoneyLimit::Period::kDay, wall));
  return insert.Bind(PeriodIndex(MoneyLimit::Period::kMonth, wall))
      .Bind(absl::ToUnixMillis(wall))
      .Step()
      .status();
}

// The reservations that `where` chooses become spent: each as `cost` says, an expression over their
// columns. `bind` binds what the two have of parameters, in that order: twice, once for days and
// once for months; then once for `where` alone.
template <typename BindCost, typename BindWhere>
absl::Status Spend(sqlite3* database, const std::string& cost, const BindCost& bind_cost,
                   const std::string& where, const BindWhere& bind_where) {
  for (const auto& [period, column] : {std::pair{kDay, "day"}, std::pair{kMonth, "month"}}) {
    ASSIGN_OR_RETURN(
        Statement add,
        Statement::Prepare(
            database,
            absl::StrCat("INSERT INTO money_spent SELECT ", period, ", ", column,
                         ", token_id, service, provider, currency, sum(", cost,
                         ") FROM money_reservations WHERE ", where, " GROUP BY ", column,
                         ", token_id, service, provider, currency "
                         "ON CONFLICT (period, period_index, token_id, service, provider, currency)"
                         " DO UPDATE SET spent_nano = spent_nano + excluded.spent_nano")
                .c_str()));
    bind_cost(add);
    bind_where(add);
    RETURN_IF_ERROR(add.Step().status());
  }
  ASSIGN_OR_RETURN(
      Statement remove,
      Statement::Prepare(database,
                         absl::StrCat("DELETE FROM money_reservations WHERE ", where).c_str()));
  bind_where(remove);
  return remove.Step().status();
}

}  // namespace

absl::StatusOr<MoneyUsed> ReadMoney(sqlite3* database, const MoneyLimit& limit, absl::Time wall) {
  const int64_t index = PeriodIndex(limit.period, wall);
  const char* scope = ScopeColumn(limit.scope);
  MoneyUsed used;
  ASSIGN_OR_RETURN(
      used.spent_nano,
      Sum(database,
          absl::StrCat("SELECT coalesce(sum(spent_nano), 0) FROM money_spent WHERE ", scope,
                       " = ? AND currency = ? AND period_index = ? "
                       "AND period = ",
                       PeriodNumber(limit.period)),
          limit, index));
  const char* column = limit.period == MoneyLimit::Period::kDay ? "day" : "month";
  ASSIGN_OR_RETURN(
      used.reserved_nano,
      Sum(database,
          absl::StrCat("SELECT coalesce(sum(amount_nano), 0) FROM money_reservations WHERE ", scope,
                       " = ? AND currency = ? AND ", column, " = ?"),
          limit, index));
  return used;
}

absl::StatusOr<std::vector<std::optional<MoneyRefusal>>> ReserveMoneyIn(
    sqlite3* database, std::span<const MoneyAsk> asks, absl::Time wall) {
  std::vector<std::optional<MoneyRefusal>> answers;
  const absl::Status done = InTransaction(database, [&]() -> absl::Status {
    for (const MoneyAsk& ask : asks) {
      std::vector<MoneyUsed> used;
      for (const MoneyLimit& limit : ask.limits) {
        ASSIGN_OR_RETURN(used.emplace_back(), ReadMoney(database, limit, wall));
      }
      answers.push_back(DecideMoney(ask, used, wall));
      if (!answers.back()) RETURN_IF_ERROR(Insert(database, ask, wall));
    }
    return absl::OkStatus();
  });
  if (!done.ok()) return done;
  return answers;
}

absl::Status SettleMoneyIn(sqlite3* database, std::span<const MoneySettlement> settlements) {
  return InTransaction(database, [&]() -> absl::Status {
    for (const MoneySettlement& settlement : settlements) {
      RETURN_IF_ERROR(Spend(
          database, "?", [&](Statement& add) { add.Bind(settlement.cost_nano); }, "id = ?",
          [&](Statement& any) { any.Bind(settlement.id); }));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<int64_t> ExpireMoneyIn(sqlite3* database, absl::Time before) {
  int64_t expired = 0;
  const absl::Status done = InTransaction(database, [&]() -> absl::Status {
    RETURN_IF_ERROR(Spend(
        database, "amount_nano", [](Statement&) {}, "created_ms < ?",
        [&](Statement& any) { any.Bind(absl::ToUnixMillis(before)); }));
    expired = sqlite3_changes(database);
    return absl::OkStatus();
  });
  if (!done.ok()) return done;
  return expired;
}

}  // namespace spillway
