#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "worker/executor.h"

namespace spillway {

// An executor whose model is a function of all tokens so far, and whose KV memory is a table of
// tokens: a slice that claims to continue what was never written there aborts the test. Steps "run"
// in Collect(), in order. Not thread-safe, like any executor.
class FakeExecutor : public Executor {
 public:
  using Model = std::function<TokenId(std::span<const TokenId> tokens)>;

  FakeExecutor(const ExecutorShape& shape, Model model);

  absl::StatusOr<Ticket> Launch(std::span<const StepRow> rows) override;
  absl::StatusOr<std::span<const SampledToken>> Collect(Ticket ticket) override;
  std::span<const TokenScore> prompt_scores() const override { return scores_; }
  const ExecutorShape& shape() const override { return shape_; }
  std::string device_name() const override { return "fake"; }
  std::string numerics_id() const override { return "fake-1"; }

  // From now on, Collect() answers this.
  void FailWith(absl::Status status) { failure_ = std::move(status); }

  // Runs at each Collect(): a step takes as long as this moves a test's clock.
  void OnEachStep(std::function<void()> run) { on_step_ = std::move(run); }

  int64_t steps() const { return collected_; }
  int32_t rows_max() const { return rows_max_; }  // the most rows that one step had
  int32_t in_flight_max() const { return in_flight_max_; }
  // The log-probability of the token that is `rank`-th likeliest, wherever it is asked for. The
  // model's choice is the likeliest, then come the ids above it. Prompts are scored likewise.
  static float LogprobOfRank(int32_t rank) { return -0.25f * static_cast<float>(rank); }

  // Tokens computed so far, whether anybody wanted the result or not.
  int64_t tokens_computed() const { return tokens_computed_; }

 private:
  struct Row {
    StepSlice slice;  // its spans are not used
    std::vector<TokenId> tokens;
    std::vector<BlockId> blocks;
    std::vector<TokenId> banned;
    int32_t top_logprobs = -1;
    std::vector<TokenId> scored;  // from position score_begin on
    int32_t score_begin = 0;
    int32_t score_top = 0;
  };
  struct Step {
    int64_t number = 0;
    std::vector<Row> rows;
  };

  // Where token number `token` of the row's sequence lives in memory_.
  size_t PlaceOf(const Row& row, int32_t token) const;
  std::vector<TokenId> RunRow(Row& row);
  // The score of `token` where the model would have chosen `likeliest`.
  TokenScore ScoreOf(TokenId token, TokenId likeliest, int32_t top_logprobs);

  const ExecutorShape shape_;
  const Model model_;
  std::deque<Step> in_flight_;
  std::vector<TokenId> memory_;  // [block_count × block_tokens]; SampledToken::kNone: never written
  std::map<SlotId, TokenId> last_sampled_;
  std::vector<SampledToken> results_;
  std::vector<TokenScore> scores_;
  std::deque<std::vector<TokenLogprob>> tops_;  // what the scores point to
  absl::Status failure_;
  std::function<void()> on_step_ = [] {};
  int64_t launched_ = 0;
  int64_t collected_ = 0;
  int32_t rows_max_ = 0;
  int32_t in_flight_max_ = 0;
  int64_t tokens_computed_ = 0;
};

}  // namespace spillway
