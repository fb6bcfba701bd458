#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/executor.h"

namespace spillway {

double SecondsNow();

// Drives an executor as the engine loop does, for benches: slot i has its own blocks, tokens are
// random, sampling is greedy. The process ends where a step fails.
class EngineDriver {
 public:
  // `executor` outlives it. Requires blocks for `sequences` of `positions_max` tokens.
  EngineDriver(Executor& executor, int32_t positions_max, int32_t sequences);

  // A sequence's part of a step: tokens [begin, begin + count) in `slot`.
  struct Part {
    int32_t slot = 0;
    int32_t begin = 0;
    int32_t count = 0;
  };
  // Runs one step of `parts`, each of which samples, and returns the seconds it took.
  double Step(std::span<const Part> parts);

  // Runs the first `count` tokens in `slot`, in the largest steps, and returns the seconds it took.
  double Prefill(int32_t slot, int32_t count);

  // Decodes `tokens` tokens of slots [0, sequences) from `position` on, each step launched before
  // the last one is collected, and returns the seconds it took.
  double Decode(int32_t sequences, int32_t position, int32_t tokens);

 private:
  StepRow RowOf(int32_t slot, int32_t begin, int32_t count) const;
  void Run(std::span<const StepRow> rows);

  Executor& executor_;
  SamplingParams greedy_;
  std::vector<TokenId> tokens_;
  std::vector<std::vector<BlockId>> blocks_;  // [slots]
};

}  // namespace spillway
