#include "router/budget.h"

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "common/check.h"
#include "common/money.h"
#include "router/token_quota.h"

namespace spillway {
namespace {

absl::Duration LeftOf(MoneyLimit::Period period, absl::Time wall) {
  if (period == MoneyLimit::Period::kDay) return LeftOfDay(wall);
  const absl::CivilMonth next = absl::ToCivilMonth(wall, absl::UTCTimeZone()) + 1;
  return absl::FromCivil(next, absl::UTCTimeZone()) - wall;
}

std::string NameOf(const MoneyLimit& limit) {
  return absl::StrCat("the budget of ",
                      limit.scope == MoneyLimit::Scope::kToken ? "token " : "service ", limit.name,
                      limit.period == MoneyLimit::Period::kDay ? " for the day" : " for the month");
}

// Also where the sum would overflow.
bool Fits(const MoneyLimit& limit, const MoneyUsed& used, int64_t amount) {
  if (used.spent_nano > limit.limit_nano - amount) return false;
  return used.reserved_nano <= limit.limit_nano - amount - used.spent_nano;
}

}  // namespace

int64_t PeriodIndex(MoneyLimit::Period period, absl::Time wall) {
  if (period == MoneyLimit::Period::kDay) return DayOf(wall);
  const absl::CivilMonth month = absl::ToCivilMonth(wall, absl::UTCTimeZone());
  return month.year() * 12 + month.month() - 1;
}

std::optional<MoneyRefusal> DecideMoney(const MoneyAsk& ask, std::span<const MoneyUsed> used,
                                        absl::Time wall) {
  CHECK(used.size() == ask.limits.size());
  CHECK(ask.amount_nano >= 0);
  std::optional<MoneyRefusal> longest;
  for (size_t i = 0; i < used.size(); ++i) {
    const MoneyLimit& limit = ask.limits[i];
    if (limit.currency != ask.currency) {
      return MoneyRefusal{.reason = MoneyRefusal::Reason::kOtherCurrency,
                          .message = absl::StrCat(NameOf(limit), " is in ", limit.currency,
                                                  ", but the price of provider ", ask.provider,
                                                  " in ", ask.currency)};
    }
    if (Fits(limit, used[i], ask.amount_nano)) continue;
    const bool ever = ask.amount_nano <= limit.limit_nano;
    const absl::Duration free_in = ever ? LeftOf(limit.period, wall) : absl::ZeroDuration();
    // One that waiting doesn't help is told before one that it does.
    if (longest &&
        (longest->free_in == absl::ZeroDuration() || (ever && free_in <= longest->free_in))) {
      continue;
    }
    longest = MoneyRefusal{
        .message = absl::StrCat(NameOf(limit), " is ", FormatMoney(limit.limit_nano), " ",
                                limit.currency, ": spent ", FormatMoney(used[i].spent_nano),
                                ", reserved ", FormatMoney(used[i].reserved_nano),
                                ", this may cost ", FormatMoney(ask.amount_nano)),
        .free_in = free_in};
  }
  return longest;
}

}  // namespace spillway
