#include "router/model_price.h"

#include <algorithm>
#include <limits>

namespace spillway {
namespace {

__extension__ using Wide = __int128;

constexpr Wide kTokensPriced = 1'000'000;

Wide Tokens(int64_t count) { return std::max<int64_t>(0, count); }

int64_t RoundUp(Wide nano_times_tokens) {
  const Wide nano = (nano_times_tokens + kTokensPriced - 1) / kTokensPriced;
  return static_cast<int64_t>(std::min<Wide>(nano, std::numeric_limits<int64_t>::max()));
}

}  // namespace

int64_t PriceBound(const ModelPrice& price, const PriceDemand& demand) {
  const Wide input = std::max(price.input_nano, price.cached_input_nano.value_or(0));
  const Wide output = std::max(price.output_nano, price.thinking_nano.value_or(0));
  // A model that may not think can still be charged for what it was allowed to.
  const Wide each = Tokens(demand.completion_tokens_max) + Tokens(demand.thinking_tokens_max);
  const Wide answers = std::max<int64_t>(1, demand.answers);
  // Below 2^63 * 2^63 each, were it not for `answers`: bounded so that nothing overflows.
  constexpr Wide kOutputMax = Wide{1} << 62;
  return RoundUp(Tokens(demand.prompt_bytes) * input +
                 std::min(each * answers, kOutputMax) * output);
}

int64_t CostOf(const ModelPrice& price, const PricedUsage& usage) {
  const Wide cached = std::min(Tokens(usage.cached_tokens), Tokens(usage.prompt_tokens));
  const Wide thinking = std::min(Tokens(usage.thinking_tokens), Tokens(usage.completion_tokens));
  return RoundUp((Tokens(usage.prompt_tokens) - cached) * price.input_nano +
                 cached * price.cached_input_nano.value_or(price.input_nano) +
                 (Tokens(usage.completion_tokens) - thinking) * price.output_nano +
                 thinking * price.thinking_nano.value_or(price.output_nano));
}

}  // namespace spillway
