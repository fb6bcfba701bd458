#pragma once

#include <cstdint>
#include <optional>

#include "router/model_price.h"
#include "router/providers/answer_reader.h"

namespace spillway {

// How an attempt at a provider ended, as far as its price goes.
enum class AttemptEnd : uint8_t {
  kFinished,  // all of its answer came
  kFree,      // the provider refused it, or it never got there
  kUnknown,   // it may have been worked on, and be charged for
};

// What an attempt used, by the provider's word; nothing: it told none that could be true.
std::optional<PricedUsage> UsageTold(const std::optional<AnswerUsage>& usage, int64_t text_bytes);

// What an attempt is charged with whose cost was bounded by `demand`, in 1/1,000,000,000 of the
// currency. Pure.
//
//   finished          by the usage that the provider told; where it told none, a token for each
//                     byte of the prompt and of the text, and all the thinking that was allowed,
//                     which is more than it took
//   free              0
//   unknown           all that it could cost
//
// More where the provider went on beyond max_tokens: what CostSoFar() says.
int64_t ChargeOfBounded(const ModelPrice& price, const PriceDemand& demand, AttemptEnd end,
                        const std::optional<AnswerUsage>& usage, int64_t text_bytes);

// The same where no budget asked for a bound: what the provider told, however it ended; where it
// told nothing, the text that came. For the books only.
int64_t ChargeOfUnbounded(const ModelPrice& price, AttemptEnd end,
                          const std::optional<AnswerUsage>& usage, int64_t text_bytes);

// What an answer that goes on has cost at the least: once it is what was reserved, the provider
// keeps to no max_tokens.
int64_t CostSoFar(const ModelPrice& price, const std::optional<AnswerUsage>& usage,
                  int64_t text_bytes);

}  // namespace spillway
