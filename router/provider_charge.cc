#include "router/provider_charge.h"

#include <algorithm>

namespace spillway {
namespace {

constexpr int64_t kBytesPerToken = 4;  // where nobody counted them
// More than any text has over some length, so that no answer is stopped that keeps to its limit.
constexpr int64_t kBytesPerTokenMax = 8;

int64_t TokensOf(int64_t bytes) { return (bytes + kBytesPerToken - 1) / kBytesPerToken; }

PricedUsage UsedBy(const AnswerUsage& usage) {
  return {.prompt_tokens = usage.prompt_tokens,
          .cached_tokens = usage.cached_tokens,
          .completion_tokens = usage.completion_tokens,
          .thinking_tokens = usage.reasoning_tokens};
}

}  // namespace

std::optional<PricedUsage> UsageTold(const std::optional<AnswerUsage>& usage, int64_t text_bytes) {
  if (!usage || usage->prompt_tokens == 0) return std::nullopt;
  if (usage->completion_tokens == 0 && text_bytes > 0) return std::nullopt;
  return UsedBy(*usage);
}

int64_t ChargeOfBounded(const ModelPrice& price, const PriceDemand& demand, AttemptEnd end,
                        const std::optional<AnswerUsage>& usage, int64_t text_bytes) {
  if (end == AttemptEnd::kFree) return 0;
  const std::optional<PricedUsage> told = UsageTold(usage, text_bytes);
  // Not even max_tokens is a bound to a provider that doesn't keep to it.
  const int64_t bound = std::max(PriceBound(price, demand), CostSoFar(price, usage, text_bytes));
  if (end == AttemptEnd::kUnknown) return bound;
  if (told) return CostOf(price, *told);
  // An answer in one piece doesn't say how long it is.
  if (text_bytes == 0) return bound;
  PriceDemand delivered = demand;
  delivered.completion_tokens_max = text_bytes;
  delivered.thinking_tokens_max = demand.thinking_tokens_max * std::max<int64_t>(1, demand.answers);
  delivered.answers = 1;  // the text is of all of them
  return std::min(bound, PriceBound(price, delivered));
}

int64_t ChargeOfUnbounded(const ModelPrice& price, AttemptEnd end,
                          const std::optional<AnswerUsage>& usage, int64_t text_bytes) {
  if (end == AttemptEnd::kFree) return 0;
  if (const auto told = UsageTold(usage, text_bytes)) return CostOf(price, *told);
  return CostOf(price, {.completion_tokens = TokensOf(text_bytes)});
}

int64_t CostSoFar(const ModelPrice& price, const std::optional<AnswerUsage>& usage,
                  int64_t text_bytes) {
  const int64_t tokens = text_bytes / kBytesPerTokenMax;
  const int64_t of_text =
      std::min(CostOf(price, {.completion_tokens = tokens}),
               CostOf(price, {.completion_tokens = tokens, .thinking_tokens = tokens}));
  return usage ? std::max(of_text, CostOf(price, UsedBy(*usage))) : of_text;
}

}  // namespace spillway
