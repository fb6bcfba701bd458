#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "worker/executor.h"

// What tests of executors share: sequences as a scheduler would run them.

namespace spillway {

inline std::vector<BlockId> BlocksFrom(int32_t first, int32_t count) {
  std::vector<BlockId> blocks;
  for (int32_t i = 0; i < count; ++i) blocks.push_back(BlockId{first + i});
  return blocks;
}

// One sequence of a test: what a scheduler would know of it.
struct Sequence {
  SlotId slot{};
  std::vector<BlockId> blocks;
  std::vector<TokenId> tokens;  // prompt and output so far
  int32_t prompt_tokens = 0;
  SamplingParams params;

  // In blocks of its slot: eight, unless `slot_blocks` says it.
  Sequence(int32_t slot_index, std::vector<TokenId> prompt, SamplingParams sampling,
           int32_t slot_blocks = 8)
      : slot(SlotId{slot_index}),
        blocks(BlocksFrom(slot_index * slot_blocks, slot_blocks)),
        tokens(std::move(prompt)),
        prompt_tokens(static_cast<int32_t>(tokens.size())),
        params(std::move(sampling)) {}

  StepRow Row(int32_t begin, int32_t count, bool samples = true) const {
    StepRow row;
    row.slice = {
        .sequence = SequenceId{static_cast<uint64_t>(slot) + 1},
        .slot = slot,
        .begin = begin,
        .count = count,
        .tokens = std::span(tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
        .blocks = blocks,
        .samples = samples};
    row.sampling = &params;
    row.history = tokens;
    row.prompt_tokens = prompt_tokens;
    return row;
  }

  // The row whose input the step in flight samples: position `begin`, no tokens given.
  StepRow PendingRow(int32_t begin) const {
    StepRow row = Row(0, 0);
    row.slice.begin = begin;
    row.slice.count = 1;
    row.slice.last_token_pending = true;
    return row;
  }
};

inline SamplingParams Greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

inline SamplingParams Lively() {
  SamplingParams params;
  params.seed = 7;
  params.repetition_penalty = 1.3f;
  params.frequency_penalty = 0.5f;
  return params;
}

inline TokenId RunOne(Executor& executor, const StepRow& row) {
  const auto ticket = executor.Launch({&row, 1});
  const auto sampled = executor.Collect(*ticket);
  return sampled->front().token;
}

// The output of `sequence` when each token is given back explicitly.
inline std::vector<TokenId> Generate(Executor& executor, Sequence sequence, int32_t count) {
  std::vector<TokenId> output;
  int32_t begin = 0;
  for (int32_t i = 0; i < count; ++i) {
    const auto size = static_cast<int32_t>(sequence.tokens.size());
    output.push_back(RunOne(executor, sequence.Row(begin, size - begin)));
    begin = size;
    sequence.tokens.push_back(output.back());
  }
  return output;
}

// The same with two steps in flight: each is launched before its input token is known.
inline std::vector<TokenId> GeneratePipelined(Executor& executor, Sequence sequence,
                                              int32_t count) {
  const auto prompt = static_cast<int32_t>(sequence.tokens.size());
  sequence.tokens.reserve(static_cast<size_t>(prompt + count));  // histories stay where they are
  const StepRow first = sequence.Row(0, prompt);
  Ticket oldest = *executor.Launch({&first, 1});
  for (int32_t i = 1; i < count; ++i) {
    const StepRow next = sequence.PendingRow(prompt + i - 1);
    const Ticket ticket = *executor.Launch({&next, 1});
    sequence.tokens.push_back(executor.Collect(oldest)->front().token);
    oldest = ticket;
  }
  sequence.tokens.push_back(executor.Collect(oldest)->front().token);
  return {sequence.tokens.begin() + prompt, sequence.tokens.end()};
}

}  // namespace spillway
