#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace spillway {

// What a token may use, and how much of it. 0 stands for no limit everywhere.
struct TokenLimits {
  std::vector<std::string> models;             // that it may use; empty: all there are
  std::map<std::string, std::string> aliases;  // what its client says, and the model that it means
  int64_t requests_per_minute = 0;             // in any 60 seconds
  int64_t tokens_per_minute = 0;               // of prompts and answers, in any 60 seconds
  int64_t requests_per_day = 0;                // of the calendar, in UTC
  int64_t tokens_per_day = 0;
  int64_t concurrency = 0;  // requests at once

  // Of what may be spent on providers, in 1/1,000,000,000 of the currency.
  std::string budget_currency;
  int64_t budget_day_nano = 0;
  int64_t budget_month_nano = 0;

  bool has_rates() const {
    return requests_per_minute > 0 || tokens_per_minute > 0 || requests_per_day > 0 ||
           tokens_per_day > 0;
  }
  friend bool operator==(const TokenLimits&, const TokenLimits&) = default;
};

}  // namespace spillway
