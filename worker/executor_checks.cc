#include "worker/executor_checks.h"

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {

absl::Status CheckExecutorLimits(int32_t running_max, int32_t step_tokens_max,
                                 int32_t sequence_tokens_max, int32_t context_tokens_max) {
  if (running_max <= 0 || step_tokens_max < running_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("running_max is ", running_max, " and step_tokens_max ", step_tokens_max,
                     "; a step must have room for one token of each running sequence"));
  }
  if (sequence_tokens_max > context_tokens_max) {
    return absl::InvalidArgumentError(absl::StrCat("sequence_tokens_max is ", sequence_tokens_max,
                                                   "; the model's context has ", context_tokens_max,
                                                   " tokens"));
  }
  return absl::OkStatus();
}

void CheckStepRow(const StepRow& row, const ExecutorShape& shape) {
  const StepSlice& slice = row.slice;
  const auto slot = static_cast<int32_t>(slice.slot);
  CHECK(slot >= 0 && slot < shape.running_max);
  CHECK(slice.begin >= 0 && slice.count > 0);
  CHECK(slice.begin + slice.count <= shape.sequence_tokens_max);
  const auto pending = static_cast<int32_t>(slice.last_token_pending);
  CHECK(static_cast<int32_t>(slice.tokens.size()) == slice.count - pending);
  CHECK(static_cast<int64_t>(slice.blocks.size()) * shape.block_tokens >=
        slice.begin + slice.count);
  for (const BlockId block : slice.blocks) {
    CHECK(static_cast<int32_t>(block) >= 0 && static_cast<int32_t>(block) < shape.block_count);
  }
  for (const TokenId token : slice.tokens) CHECK(token >= 0 && token < shape.vocabulary_size);
  CHECK(!slice.samples || row.sampling != nullptr);
  CHECK(row.prompt_tokens <= static_cast<int32_t>(row.history.size()));
  if (row.score_begin == row.score_end) return;
  CHECK(slice.begin < row.score_begin && row.score_begin < row.score_end);
  CHECK(row.score_end <= slice.begin + slice.count + 1);
  CHECK(static_cast<size_t>(row.score_end) <= row.history.size());
  CHECK(row.score_top >= 0 && row.score_top <= shape.vocabulary_size);
}

}  // namespace spillway
