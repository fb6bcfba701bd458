#include "server/ledger/usage_ledger.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "router/token_quota.h"

namespace spillway {
namespace {

constexpr std::string_view kLocal = "local";
constexpr int kClientLeft = 499;

UsageCounts CountsOf(const DeliveredTokenCounts& delivered) {
  return {.prompt_tokens = delivered.prompt_tokens,
          .cached_tokens = delivered.cached_tokens,
          .completion_tokens = delivered.completion_tokens};
}

}  // namespace

UsageLedger::UsageLedger(const LedgerLimits& limits, std::string writer, const Clock& clock,
                         MetricRegistry& metrics, Store& store)
    : limits_(limits),
      clock_(clock),
      store_(store),
      unwritten_rows_(metrics.GetGauge(
          "spillway_ledger_unwritten_rows",
          "Sums of usage, by token, service, upstream and minute, that the store has not taken.")),
      write_failures_(metrics.GetCounter("spillway_ledger_write_failures_total",
                                         "Times that the store took no usage.")),
      lost_requests_(metrics.GetCounter(
          "spillway_ledger_lost_total",
          "Reports of usage that were lost, since too much waited for the store already.")) {
  batch_.writer = std::move(writer);
  batch_.number = 1;
}

UsageLedger::~UsageLedger() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  closing_changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  if (WriteOnce()) WriteOnce();  // A batch that had waited, and what came since.
}

absl::Status UsageLedger::Load() {
  const int64_t today = DayOf(clock_.WallNow());
  ASSIGN_OR_RETURN(const std::vector<UsageEntry> entries,
                   store_.ListUsage(today - limits_.days_known, /*minutes=*/false));
  MutexLock lock(mutex_);
  for (const UsageEntry& entry : entries) {
    if (entry.counts.cost_nano != 0) costs_[entry.token_id][entry.day] += entry.counts.cost_nano;
    if (entry.day == today) past_[entry.token_id] += entry.counts;
  }
  return absl::OkStatus();
}

void UsageLedger::Start() {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

void UsageLedger::OnRequestEnd(const RequestSummary& summary) {
  const DeliveredTokenCounts& billed = summary.billed;
  const DeliveredTokenCounts& told = summary.told;
  UsageCounts counts =
      CountsOf({.prompt_tokens = billed.prompt_tokens - told.prompt_tokens,
                .cached_tokens = billed.cached_tokens - told.cached_tokens,
                .completion_tokens = billed.completion_tokens - told.completion_tokens});
  const bool answered = summary.http_status == 200 || summary.http_status == kClientLeft;
  counts.requests = answered ? 1 : 0;
  counts.failures = answered ? 0 : 1;
  counts.cost_nano = summary.cost_nano;
  Add(summary.token_id, summary.service, summary.provider, summary.currency, counts);
}

void UsageLedger::OnProgress(const RequestProgress& progress) {
  Add(progress.token_id, progress.service, progress.provider, "", CountsOf(progress.delivered));
}

int64_t UsageLedger::CostOf(std::string_view token_id, int64_t first_day, int64_t last_day) const {
  MutexLock lock(mutex_);
  const auto days = costs_.find(token_id);
  if (days == costs_.end()) return 0;
  int64_t cost = 0;
  for (auto day = days->second.lower_bound(first_day);
       day != days->second.end() && day->first <= last_day; ++day) {
    cost += day->second;
  }
  return cost;
}

void UsageLedger::Add(std::string_view token_id, std::string_view service,
                      std::string_view provider, std::string_view currency,
                      const UsageCounts& counts) {
  const absl::Time wall = clock_.WallNow();
  UsageKey key = {.token_id = std::string(token_id),
                  .service = std::string(service),
                  .upstream = std::string(provider.empty() ? kLocal : provider),
                  .currency = std::string(currency),
                  .minute = absl::ToUnixSeconds(wall) / 60};
  MutexLock lock(mutex_);
  if (counts.cost_nano != 0) costs_[key.token_id][DayOf(wall)] += counts.cost_nano;
  const auto row = rows_.find(key);
  if (row != rows_.end()) {
    row->second += counts;
  } else if (rows_.size() < limits_.rows_max) {
    rows_.emplace(std::move(key), counts);
  } else {
    lost_requests_.Add();
  }
}

bool UsageLedger::WriteOnce() {
  if (batch_.rows.empty()) {
    MutexLock lock(mutex_);
    for (const auto& [key, counts] : rows_) batch_.rows.push_back({key, counts});
    rows_.clear();
  }
  if (!batch_.rows.empty()) {
    const absl::Status status = store_.AddUsage(batch_);
    if (!status.ok()) {
      write_failures_.Add();
      if (!std::exchange(failing_, true)) {
        LogWarning(absl::StrCat("usage can't be written and is kept in memory: ",
                                std::string(status.message())));
      }
      MutexLock lock(mutex_);
      unwritten_rows_.Set(static_cast<double>(batch_.rows.size() + rows_.size()));
      return false;
    }
    batch_.rows.clear();
    ++batch_.number;
  }
  if (std::exchange(failing_, false)) LogInfo("usage is written again");
  unwritten_rows_.Set(0);
  return true;
}

void UsageLedger::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      if (!closing_) closing_changed_.WaitFor(mutex_, limits_.write_every);
      if (closing_) return;
    }
    WriteOnce();
  }
}

}  // namespace spillway
