#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace spillway {

// What a provider takes for a model. Whole numbers of 1/1,000,000,000 of the currency for 1,000,000
// tokens (common/money.h), so that no sum drifts.
struct ModelPrice {
  std::string currency;  // "CNY"
  int64_t input_nano = 0;
  std::optional<int64_t> cached_input_nano = {};  // none: as other input
  int64_t output_nano = 0;
  std::optional<int64_t> thinking_nano = {};  // none: as other output
};

// What a request may come to at most, from what is known before it is sent.
struct PriceDemand {
  // Of the whole body. A token has a byte at least, and what a provider's template adds to each
  // message is shorter than the JSON around it.
  int64_t prompt_bytes = 0;
  // Both as they are sent, since what isn't said isn't bounded.
  int64_t completion_tokens_max = 0;
  int64_t thinking_tokens_max = 0;
  int64_t answers = 1;  // n
};

// What was used, by the provider's word.
struct PricedUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;      // of those
  int64_t completion_tokens = 0;  // thinking included
  int64_t thinking_tokens = 0;    // of those
};

// In 1/1,000,000,000 of the currency, rounded up. Numbers below 0 count as 0; what is beyond
// int64_t is its largest number, which no budget has.
int64_t PriceBound(const ModelPrice& price, const PriceDemand& demand);
int64_t CostOf(const ModelPrice& price, const PricedUsage& usage);

}  // namespace spillway
