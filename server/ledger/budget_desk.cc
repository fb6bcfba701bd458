#include "server/ledger/budget_desk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/logging.h"

namespace spillway {
namespace {

MoneyRefusal StoreFailed(std::string why) {
  return {.reason = MoneyRefusal::Reason::kStoreFailed, .message = std::move(why)};
}

}  // namespace

BudgetDesk::BudgetDesk(const BudgetLimits& limits, const Clock& clock, MetricRegistry& metrics,
                       Store& store)
    : limits_(limits),
      clock_(clock),
      store_(store),
      refused_(metrics.GetCounter("spillway_budget_refused_total",
                                  "Requests to providers that no budget had the money for.")),
      expired_(metrics.GetCounter(
          "spillway_budget_expired_total",
          "Reservations of money that nobody settled, and that count as spent in full.")),
      unsettled_(
          metrics.GetGauge("spillway_budget_unsettled", "Costs that the store has not taken.")) {}

BudgetDesk::~BudgetDesk() {
  Stop();
  WriteSettlements();
}

void BudgetDesk::Stop() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  std::vector<Waiting> asks;
  {
    MutexLock lock(mutex_);
    asks.swap(asks_);
  }
  for (const Waiting& waiting : asks) waiting.done(StoreFailed("the server is shutting down"));
}

void BudgetDesk::Start() {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

void BudgetDesk::Reserve(MoneyAsk ask, Done done) {
  {
    MutexLock lock(mutex_);
    if (!closing_ && asks_.size() < limits_.asks_max) {
      asks_.push_back({std::move(ask), std::move(done)});
      changed_.NotifyAll();
      return;
    }
  }
  done(StoreFailed(absl::StrCat(limits_.asks_max, " requests wait for the budgets already")));
}

void BudgetDesk::Settle(std::string id, int64_t cost_nano) {
  MutexLock lock(mutex_);
  if (settlements_.size() >= limits_.settlements_max) settlements_.erase(settlements_.begin());
  settlements_.push_back({std::move(id), std::max<int64_t>(0, cost_nano)});
  changed_.NotifyAll();
}

void BudgetDesk::WorkOnce() {
  std::vector<Waiting> asks;
  {
    MutexLock lock(mutex_);
    asks.swap(asks_);
  }
  // What is settled makes room for what is asked for.
  WriteSettlements();
  if (!asks.empty()) Answer(std::move(asks));
  if (clock_.Now() >= next_expiry_) Expire();
}

void BudgetDesk::Answer(std::vector<Waiting> asks) {
  std::vector<MoneyAsk> plain;
  for (Waiting& waiting : asks) plain.push_back(std::move(waiting.ask));
  const auto answers = store_.ReserveMoney(plain, clock_.WallNow());
  for (size_t i = 0; i < asks.size(); ++i) {
    std::optional<MoneyRefusal> refusal;
    if (answers.ok()) {
      refusal = (*answers)[i];
    } else {
      refusal = StoreFailed(absl::StrCat("the reservation can't be written, so nothing is spent: ",
                                         std::string(answers.status().message())));
    }
    if (refusal) refused_.Add();
    asks[i].done(std::move(refusal));
  }
}

void BudgetDesk::WriteSettlements() {
  {
    MutexLock lock(mutex_);
    std::move(settlements_.begin(), settlements_.end(), std::back_inserter(settling_));
    settlements_.clear();
  }
  if (settling_.size() > limits_.settlements_max) {
    settling_.erase(settling_.begin(),
                    settling_.end() - static_cast<std::ptrdiff_t>(limits_.settlements_max));
  }
  if (settling_.empty()) return;
  // Writing one twice changes nothing: its reservation is gone.
  const absl::Status status = store_.SettleMoney(settling_);
  if (status.ok()) {
    settling_.clear();
    if (std::exchange(failing_, false)) LogInfo("costs are written again");
  } else if (!std::exchange(failing_, true)) {
    LogWarning(absl::StrCat("costs can't be written and are kept in memory: ",
                            std::string(status.message())));
  }
  unsettled_.Set(static_cast<double>(settling_.size()));
}

void BudgetDesk::Expire() {
  next_expiry_ = clock_.Now() + limits_.expire_every;
  const absl::StatusOr<int64_t> expired =
      store_.ExpireMoney(clock_.WallNow() - limits_.reservation_life);
  if (!expired.ok() || *expired == 0) return;
  expired_.Add(static_cast<double>(*expired));
  LogWarning(absl::StrCat(*expired,
                          " reservations of money were never settled, as after a crash; "
                          "they count as spent in full"));
}

void BudgetDesk::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!closing_ && asks_.empty() && settlements_.empty()) {
        const bool woken =
            changed_.WaitFor(mutex_, failing_ ? limits_.retry_every : limits_.expire_every);
        if (!woken) break;
      }
      if (closing_) return;
    }
    WorkOnce();
  }
}

}  // namespace spillway
