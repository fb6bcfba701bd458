#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/types.h"

namespace spillway {

// The model of the simulation: the next token is a function of all the tokens before it.
constexpr TokenId kSoloVocabulary = 5;

inline uint64_t SoloPrefix(uint64_t prefix, TokenId token) {
  uint64_t x = (prefix ^ static_cast<uint64_t>(token + 1)) * 0x9e3779b97f4a7c15u;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9u;
  return x ^ (x >> 32);
}
inline TokenId SoloNext(uint64_t prefix) {
  return static_cast<TokenId>((prefix >> 7) % static_cast<uint64_t>(kSoloVocabulary));
}

// What one sequence would be if it ran alone: the oracle for its tokens and its KV.
struct SoloSequence {
  SoloSequence() = default;
  SoloSequence(uint64_t salt, std::vector<TokenId> prompt, int32_t new_tokens_max)
      : root(SoloPrefix(0xfeed, static_cast<TokenId>(salt))), tokens(std::move(prompt)) {
    const size_t tokens_max = tokens.size() + static_cast<size_t>(new_tokens_max);
    uint64_t prefix = root;
    for (size_t i = 0; i < tokens_max; ++i) {
      if (i == tokens.size()) tokens.push_back(SoloNext(prefix));
      prefix = SoloPrefix(prefix, tokens[i]);
      prefixes.push_back(prefix);
    }
  }

  uint64_t root = 0;
  std::vector<TokenId> tokens;     // prompt, then all that the model would say
  std::vector<uint64_t> prefixes;  // [i]: of tokens 0 to i
};

// A device that is only a memory. Each KV cell remembers which token was last written to it and
// after which whole prefix, so whatever goes wrong with blocks (handed out twice, freed early,
// shared with the wrong sequence, lost on preemption) shows as a cell that isn't what it should be.
//
// As a real one, it runs plans in their order, copies them when they are launched, knows a pending
// token only by the slot that sampled it, and reads the KV of all rows of a step before it writes
// any. When a step runs, at its launch or when it is collected, must make no difference.
class RecordingWorker {
 public:
  explicit RecordingWorker(const SchedulerLimits& limits) : limits_(limits) {}

  struct Row {
    const SoloSequence* solo = nullptr;  // outlives the step
    SlotId slot{};
    int32_t begin = 0;
    int32_t count = 0;
    std::vector<TokenId> tokens;
    std::vector<BlockId> blocks;
    bool last_token_pending = false;
    bool samples = false;
  };

  // `solos` has one entry for each slice.
  void Launch(const StepPlan& plan, const std::vector<const SoloSequence*>& solos, bool run_now) {
    Step step;
    for (size_t i = 0; i < plan.slices.size(); ++i) {
      const StepSlice& slice = plan.slices[i];
      step.rows.push_back({.solo = solos[i],
                           .slot = slice.slot,
                           .begin = slice.begin,
                           .count = slice.count,
                           .tokens = {slice.tokens.begin(), slice.tokens.end()},
                           .blocks = {slice.blocks.begin(), slice.blocks.end()},
                           .last_token_pending = slice.last_token_pending,
                           .samples = slice.samples});
    }
    steps_.push_back(std::move(step));
    if (run_now) {
      for (Step& queued : steps_) Run(queued);
    }
  }

  // The sampled tokens of the oldest step, one for each row that samples.
  std::vector<TokenId> Collect() {
    Run(steps_.front());
    std::vector<TokenId> sampled = std::move(steps_.front().sampled);
    steps_.pop_front();
    return sampled;
  }

 private:
  struct Step {
    std::vector<Row> rows;
    std::vector<TokenId> sampled;
    bool has_run = false;
  };
  struct Cell {
    TokenId token = -1;
    uint64_t prefix = 0;
    bool operator==(const Cell&) const = default;
  };
  using Slots = std::map<SlotId, std::pair<const SoloSequence*, TokenId>>;

  void Run(Step& step) {
    if (std::exchange(step.has_run, true)) return;
    for (const Row& row : step.rows) CheckReads(row);
    Slots sampled_in_slots;
    for (const Row& row : step.rows) {
      std::vector<TokenId> tokens = row.tokens;
      if (row.last_token_pending) tokens.push_back(PendingToken(row));
      EXPECT_EQ(tokens.size(), static_cast<size_t>(row.count));
      for (int32_t i = 0; i < row.count; ++i) {
        const int32_t position = row.begin + i;
        const uint64_t before =
            position == 0 ? row.solo->root : cells_[At(row, position - 1)].prefix;
        const TokenId token = tokens.at(static_cast<size_t>(i));
        EXPECT_EQ(token, row.solo->tokens.at(static_cast<size_t>(position))) << "at " << position;
        cells_[At(row, position)] = {token, SoloPrefix(before, token)};
      }
      if (!row.samples) continue;
      const TokenId next = SoloNext(cells_[At(row, row.begin + row.count - 1)].prefix);
      step.sampled.push_back(next);
      sampled_in_slots[row.slot] = {row.solo, next};
    }
    sampled_by_last_step_ = std::move(sampled_in_slots);
  }

  void CheckReads(const Row& row) {
    for (int32_t position = 0; position < row.begin; ++position) {
      const auto index = static_cast<size_t>(position);
      const Cell expected{row.solo->tokens.at(index), row.solo->prefixes.at(index)};
      EXPECT_TRUE((cells_[At(row, position)] == expected)) << "wrong KV at position " << position;
    }
  }

  TokenId PendingToken(const Row& row) const {
    const auto it = sampled_by_last_step_.find(row.slot);
    const bool sampled = it != sampled_by_last_step_.end() && it->second.first == row.solo;
    EXPECT_TRUE(sampled) << "the step before sampled nothing for this sequence in its slot";
    return sampled ? it->second.second : -1;
  }

  std::pair<BlockId, int32_t> At(const Row& row, int32_t position) const {
    return {row.blocks.at(static_cast<size_t>(position / limits_.block_tokens)),
            position % limits_.block_tokens};
  }

  const SchedulerLimits limits_;
  std::map<std::pair<BlockId, int32_t>, Cell> cells_;
  std::deque<Step> steps_;  // launched, not collected
  Slots sampled_by_last_step_;
};

}  // namespace spillway
