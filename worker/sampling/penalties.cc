#include "worker/sampling/penalties.h"

#include <limits>

#include "common/check.h"
#include "worker/sampling/logit_weights.h"

namespace spillway {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int32_t kUncounted = -1;

}  // namespace

Penalties::Penalties(int32_t vocabulary_size) : vocabulary_size_(vocabulary_size) {
  CHECK(vocabulary_size > 0 && vocabulary_size <= kVocabularyMax);
  counts_.resize(static_cast<size_t>(vocabulary_size), kUncounted);
  counted_.reserve(static_cast<size_t>(vocabulary_size));
}

void Penalties::Apply(const SamplingParams& params, const TokenHistory& history,
                      std::span<const TokenId> banned, std::span<float> logits) {
  CHECK(logits.size() == counts_.size());
  for (const auto& [token, bias] : params.logit_bias) {
    CHECK(token >= 0 && token < vocabulary_size_);
    logits[static_cast<size_t>(token)] += bias;
  }
  if (params.needs_history()) ApplyToHistory(params, history, logits);
  for (const TokenId token : banned) {
    CHECK(token >= 0 && token < vocabulary_size_);
    logits[static_cast<size_t>(token)] = -kInfinity;
  }
}

void Penalties::CountToken(TokenId token, bool is_output) {
  CHECK(token >= 0 && token < vocabulary_size_);
  int32_t& count = counts_[static_cast<size_t>(token)];
  if (count == kUncounted) {
    count = 0;
    counted_.push_back(token);
  }
  if (is_output) ++count;
}

void Penalties::ApplyToHistory(const SamplingParams& params, const TokenHistory& history,
                               std::span<float> logits) {
  const auto prompt_size = static_cast<size_t>(history.prompt_tokens);
  CHECK(history.prompt_tokens >= 0 && prompt_size <= history.tokens.size());
  if (params.repetition_penalty != 1) {
    for (const TokenId token : history.tokens.first(prompt_size)) {
      CountToken(token, /*is_output=*/false);
    }
  }
  for (const TokenId token : history.tokens.subspan(prompt_size)) {
    CountToken(token, /*is_output=*/true);
  }
  if (history.pending >= 0) CountToken(history.pending, /*is_output=*/true);

  for (const TokenId token : counted_) {
    float& logit = logits[static_cast<size_t>(token)];
    int32_t& count = counts_[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (count > 0) {
      logit -= params.frequency_penalty * static_cast<float>(count);
      logit -= params.presence_penalty;
    }
    count = kUncounted;
  }
  counted_.clear();
}

}  // namespace spillway
