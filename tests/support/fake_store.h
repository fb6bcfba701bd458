#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "router/store.h"

namespace spillway {

// A Store in memory that takes what it is given or doesn't, and may take it and say that it didn't.
// Not thread-safe.
class FakeStore : public Store {
 public:
  absl::Status AddToken(const TokenRecord& token) override {
    tokens.push_back(token);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<TokenRecord>> ListTokens() const override { return tokens; }
  absl::Status RevokeToken(std::string_view, absl::Time) override { return absl::OkStatus(); }
  absl::Status ChangeToken(const TokenRecord&) override { return absl::OkStatus(); }
  absl::Status RotateToken(std::string_view, std::string_view, std::string_view,
                           absl::Time) override {
    return absl::OkStatus();
  }

  absl::Status AddUsage(const UsageBatch& batch) override {
    if (full) return Full();
    if (batches.insert({batch.writer, batch.number}).second) {
      for (const UsageRow& row : batch.rows) written[row.key] += row.counts;
    }
    return says_it_failed ? Full() : absl::OkStatus();
  }
  absl::StatusOr<std::vector<UsageEntry>> ListUsage(int64_t since_day, bool) const override {
    std::vector<UsageEntry> since;
    for (const UsageEntry& entry : entries) {
      if (entry.day >= since_day) since.push_back(entry);
    }
    return since;
  }

  absl::StatusOr<std::vector<std::optional<MoneyRefusal>>> ReserveMoney(
      std::span<const MoneyAsk> asks, absl::Time wall) override {
    if (full) return Full();
    ++reserve_calls;
    std::vector<std::optional<MoneyRefusal>> answers;
    for (const MoneyAsk& ask : asks) {
      std::vector<MoneyUsed> used;
      for (const MoneyLimit& limit : ask.limits) used.push_back(*UsedMoney(limit, wall));
      answers.push_back(DecideMoney(ask, used, wall));
      if (!answers.back()) reserved[ask.id] = {ask.amount_nano, wall};
    }
    return answers;
  }
  absl::Status SettleMoney(std::span<const MoneySettlement> settlements) override {
    if (full) return Full();
    for (const MoneySettlement& settlement : settlements) {
      if (reserved.erase(settlement.id) > 0) spent_nano += settlement.cost_nano;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<int64_t> ExpireMoney(absl::Time before) override {
    int64_t expired = 0;
    for (auto entry = reserved.begin(); entry != reserved.end();) {
      if (entry->second.second >= before) {
        ++entry;
        continue;
      }
      spent_nano += entry->second.first;
      entry = reserved.erase(entry);
      ++expired;
    }
    return expired;
  }
  // All money is under one limit here.
  absl::StatusOr<MoneyUsed> UsedMoney(const MoneyLimit&, absl::Time) const override {
    MoneyUsed used = {.spent_nano = spent_nano};
    for (const auto& [id, amount] : reserved) used.reserved_nano += amount.first;
    return used;
  }

  UsageCounts Sum() const {
    UsageCounts sum;
    for (const auto& [key, counts] : written) sum += counts;
    return sum;
  }

  bool full = false;
  bool says_it_failed = false;
  std::vector<TokenRecord> tokens;
  std::vector<UsageEntry> entries;
  std::map<UsageKey, UsageCounts> written;
  std::set<std::pair<std::string, int64_t>> batches;
  std::map<std::string, std::pair<int64_t, absl::Time>> reserved;  // amount, when
  int64_t spent_nano = 0;
  int reserve_calls = 0;

 private:
  static absl::Status Full() { return absl::UnavailableError("disk full"); }
};

}  // namespace spillway
