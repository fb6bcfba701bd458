#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace spillway {

// What usage is kept by.
struct UsageKey {
  std::string token_id;  // empty: no token was needed
  std::string service;
  std::string upstream;  // "local": our own workers; else a provider's name
  std::string currency;  // of the cost; empty where it costs nothing
  int64_t minute = 0;    // since 1970

  friend auto operator<=>(const UsageKey&, const UsageKey&) = default;
};

struct UsageCounts {
  int64_t requests = 0;  // that were answered, or whose client left
  int64_t failures = 0;  // the others
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of those
  int64_t completion_tokens = 0;
  int64_t cost_nano = 0;  // 1/1,000,000,000 of the currency

  UsageCounts& operator+=(const UsageCounts& other) {
    requests += other.requests;
    failures += other.failures;
    prompt_tokens += other.prompt_tokens;
    cached_tokens += other.cached_tokens;
    completion_tokens += other.completion_tokens;
    cost_nano += other.cost_nano;
    return *this;
  }
  friend bool operator==(const UsageCounts&, const UsageCounts&) = default;
};

struct UsageRow {
  UsageKey key;
  UsageCounts counts;
};

// What is written at once. A writer numbers its batches from 1 on, so that one that was written,
// though its writer was told that it wasn't, isn't written twice.
struct UsageBatch {
  std::string writer;  // of this process alone
  int64_t number = 0;
  std::vector<UsageRow> rows;
};

// What the books say of one day, or one minute of it.
struct UsageEntry {
  int64_t day = 0;     // since 1970, in UTC
  int64_t minute = 0;  // since 1970; 0: of the whole day
  std::string token_id;
  std::string token_name;  // its id where it has none
  std::string service;
  std::string upstream;
  std::string currency;
  UsageCounts counts;
};

}  // namespace spillway
