#include "bench/engine_driver.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "common/check.h"

namespace spillway {
namespace {

template <typename T>
const T& Require(const absl::StatusOr<T>& result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
    std::exit(1);
  }
  return *result;
}

}  // namespace

double SecondsNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

EngineDriver::EngineDriver(Executor& executor, int32_t positions_max, int32_t sequences)
    : executor_(executor) {
  greedy_.temperature = 0;
  const int32_t block_tokens = executor.shape().block_tokens;
  const int32_t blocks_each = (positions_max + block_tokens - 1) / block_tokens;
  CHECK(sequences <= executor.shape().running_max);
  CHECK(sequences * blocks_each <= executor.shape().block_count);
  for (int32_t slot = 0; slot < sequences; ++slot) {
    std::vector<BlockId> blocks;
    for (int32_t i = 0; i < blocks_each; ++i) blocks.push_back(BlockId{slot * blocks_each + i});
    blocks_.push_back(std::move(blocks));
  }
  std::mt19937 random(1);
  for (int32_t i = 0; i < positions_max; ++i) {
    tokens_.push_back(static_cast<TokenId>(random() % executor.shape().vocabulary_size));
  }
}

double EngineDriver::Step(std::span<const Part> parts) {
  std::vector<StepRow> rows;
  for (const Part& part : parts) {
    rows.push_back(RowOf(part.slot, part.begin, part.count));
    rows.back().slice.samples = true;
  }
  const double start = SecondsNow();
  Run(rows);
  return SecondsNow() - start;
}

double EngineDriver::Prefill(int32_t slot, int32_t count) {
  const double start = SecondsNow();
  const int32_t step_tokens = executor_.shape().step_tokens_max;
  for (int32_t begin = 0; begin < count; begin += step_tokens) {
    const int32_t size = std::min(step_tokens, count - begin);
    StepRow row = RowOf(slot, begin, size);
    row.slice.samples = begin + size == count;
    Run({&row, 1});
  }
  return SecondsNow() - start;
}

double EngineDriver::Decode(int32_t sequences, int32_t position, int32_t tokens) {
  for (int32_t slot = 0; slot < sequences; ++slot) Prefill(slot, position);
  const double start = SecondsNow();
  Ticket oldest{};
  for (int32_t i = 0; i < tokens; ++i) {
    std::vector<StepRow> rows;
    for (int32_t slot = 0; slot < sequences; ++slot) {
      StepRow row = RowOf(slot, position + i, 1);
      row.slice.tokens = {};
      row.slice.last_token_pending = true;
      row.slice.samples = true;
      rows.push_back(row);
    }
    const Ticket ticket = Require(executor_.Launch(rows));
    if (i > 0) Require(executor_.Collect(oldest));
    oldest = ticket;
  }
  Require(executor_.Collect(oldest));
  return SecondsNow() - start;
}

StepRow EngineDriver::RowOf(int32_t slot, int32_t begin, int32_t count) const {
  StepRow row;
  row.slice = {
      .slot = SlotId{slot},
      .begin = begin,
      .count = count,
      .tokens = std::span(tokens_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
      .blocks = blocks_[static_cast<size_t>(slot)]};
  row.sampling = &greedy_;
  return row;
}

void EngineDriver::Run(std::span<const StepRow> rows) {
  Require(executor_.Collect(Require(executor_.Launch(rows))));
}

}  // namespace spillway
