#include "tests/support/fake_executor.h"

#include <algorithm>
#include <limits>

#include "common/check.h"
#include "scheduler/scheduler.h"

namespace spillway {

FakeExecutor::FakeExecutor(const ExecutorShape& shape, Model model)
    : shape_(shape),
      model_(std::move(model)),
      memory_(static_cast<size_t>(shape.block_count) * static_cast<size_t>(shape.block_tokens),
              SampledToken::kNone) {}

absl::StatusOr<Ticket> FakeExecutor::Launch(std::span<const StepRow> rows) {
  CHECK(!rows.empty());
  CHECK(static_cast<int32_t>(rows.size()) <= shape_.running_max);
  Step step{.number = ++launched_, .rows = {}};
  for (const StepRow& row : rows) {
    step.rows.push_back(
        {.slice = row.slice,
         .tokens = {row.slice.tokens.begin(), row.slice.tokens.end()},
         .blocks = {row.slice.blocks.begin(), row.slice.blocks.end()},
         .banned = {row.banned.begin(), row.banned.end()},
         .top_logprobs = row.slice.samples ? row.sampling->top_logprobs : -1,
         .scored = {row.history.begin() + row.score_begin, row.history.begin() + row.score_end},
         .score_begin = row.score_begin,
         .score_top = row.score_top});
  }
  in_flight_.push_back(std::move(step));
  CHECK(in_flight_.size() <= Scheduler::kPlansInFlightMax);
  rows_max_ = std::max(rows_max_, static_cast<int32_t>(rows.size()));
  in_flight_max_ = std::max(in_flight_max_, static_cast<int32_t>(in_flight_.size()));
  return Ticket{launched_};
}

absl::StatusOr<std::span<const SampledToken>> FakeExecutor::Collect(Ticket ticket) {
  CHECK(!in_flight_.empty());
  CHECK(static_cast<int64_t>(ticket) == in_flight_.front().number);
  if (!failure_.ok()) return failure_;
  Step step = std::move(in_flight_.front());
  in_flight_.pop_front();
  on_step_();
  collected_ = step.number;
  results_.clear();
  scores_.clear();
  tops_.clear();
  for (Row& row : step.rows) {
    const std::vector<TokenId> all = RunRow(row);
    for (size_t i = 0; i < row.scored.size(); ++i) {
      const size_t position = static_cast<size_t>(row.score_begin) + i;
      // Only what this very slice has computed has logits.
      CHECK(position > static_cast<size_t>(row.slice.begin) && position <= all.size());
      CHECK(position == all.size() || all[position] == row.scored[i]);
      scores_.push_back(
          ScoreOf(row.scored[i], model_(std::span(all).first(position)), row.score_top));
    }
    if (!row.slice.samples) continue;
    TokenId token = model_(all);
    while (std::ranges::find(row.banned, token) != row.banned.end()) --token;
    last_sampled_[row.slice.slot] = token;
    results_.push_back({.token = token, .score = ScoreOf(token, token, row.top_logprobs)});
  }
  return results_;
}

TokenScore FakeExecutor::ScoreOf(TokenId token, TokenId likeliest, int32_t top_logprobs) {
  if (top_logprobs < 0) return {};
  if (likeliest == SampledToken::kNone) {
    return {.logprob = std::numeric_limits<float>::quiet_NaN()};
  }
  std::vector<TokenLogprob>& top = tops_.emplace_back();
  for (int32_t rank = 1; rank <= top_logprobs; ++rank) {
    top.push_back({(likeliest + rank - 1) % shape_.vocabulary_size, LogprobOfRank(rank)});
  }
  const int32_t size = shape_.vocabulary_size;
  const int32_t rank = 1 + (token - likeliest + size) % size;
  return {.logprob = LogprobOfRank(rank), .rank = rank, .top = top};
}

size_t FakeExecutor::PlaceOf(const Row& row, int32_t token) const {
  const BlockId block = row.blocks.at(static_cast<size_t>(token / shape_.block_tokens));
  return static_cast<size_t>(block) * static_cast<size_t>(shape_.block_tokens) +
         static_cast<size_t>(token % shape_.block_tokens);
}

std::vector<TokenId> FakeExecutor::RunRow(Row& row) {
  if (row.slice.last_token_pending) row.tokens.push_back(last_sampled_.at(row.slice.slot));
  CHECK(static_cast<int32_t>(row.tokens.size()) == row.slice.count);
  std::vector<TokenId> all;
  for (int32_t i = 0; i < row.slice.begin; ++i) {
    const TokenId token = memory_.at(PlaceOf(row, i));
    CHECK(token != SampledToken::kNone);
    all.push_back(token);
  }
  for (TokenId token : row.tokens) {
    memory_.at(PlaceOf(row, static_cast<int32_t>(all.size()))) = token;
    all.push_back(token);
  }
  tokens_computed_ += row.slice.count;
  return all;
}

}  // namespace spillway
