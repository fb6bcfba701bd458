#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace spillway {

// Money that may be spent on providers. A request's bound (router/model_price.h) is reserved before
// it is sent, and settled by what it cost.
//
// The rule for what is never settled, because the process died or the end is unknown: it stays
// reserved, so it counts as spent in full, in the day and month of its reservation; after
// BudgetLimits::reservation_life it becomes spent in full for good. Whoever settles it later than
// that changes nothing. So a crash can make a budget seem smaller than it is, never larger.

// One budget.
struct MoneyLimit {
  enum class Scope { kToken, kService };
  enum class Period { kDay, kMonth };  // of the calendar, in UTC

  Scope scope = Scope::kToken;
  std::string name;  // the token's id, or the service's name
  Period period = Period::kDay;
  std::string currency;
  int64_t limit_nano = 0;

  friend bool operator==(const MoneyLimit&, const MoneyLimit&) = default;
};

struct MoneyAsk {
  std::string id;  // of the reservation; unique for ever
  std::string token_id;
  std::string service;
  std::string provider;
  std::string currency;
  int64_t amount_nano = 0;
  std::vector<MoneyLimit> limits;  // all that it is under: those of its token and of its service
};

// What is gone of one limit's period.
struct MoneyUsed {
  int64_t spent_nano = 0;
  int64_t reserved_nano = 0;
};

// Why it may not be spent, and when it may.
struct MoneyRefusal {
  enum class Reason { kOverBudget, kOtherCurrency, kStoreFailed };
  Reason reason = Reason::kOverBudget;
  std::string message;  // for people
  // Until the period ends; zero: that doesn't help.
  absl::Duration free_in = absl::ZeroDuration();
};

// Whether `ask` fits, where `used[i]` is of `ask.limits[i]`. Pure.
//   Requires used.size() == ask.limits.size().
std::optional<MoneyRefusal> DecideMoney(const MoneyAsk& ask, std::span<const MoneyUsed> used,
                                        absl::Time wall);

// Days since 1970 in UTC, or months since year 0.
int64_t PeriodIndex(MoneyLimit::Period period, absl::Time wall);

// The desk that money is had from.
//
// Thread-safe.
class Budget {
 public:
  virtual ~Budget() = default;

  // Nullopt: it is reserved, and that is on the disk. A request may be sent only then.
  using Done = std::function<void(std::optional<MoneyRefusal>)>;
  // `done` is called once, on the desk's thread, where it must not wait for anything: post from it.
  virtual void Reserve(MoneyAsk ask, Done done) = 0;

  // It cost `cost_nano`, which may be 0, and more than was reserved. Kept in memory until it can be
  // written; unknown or settled ids change nothing.
  virtual void Settle(std::string id, int64_t cost_nano) = 0;
};

}  // namespace spillway
