#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"

// The plain words that the scheduler and the executors share.

namespace spillway {

// A token of the model's vocabulary, in [0, vocabulary_size). An alias and not a type of its own:
// arrays of it are what models, hashes and wire formats eat.
using TokenId = int32_t;

enum class SequenceId : uint64_t {};

// Index of one fixed-size block of KV memory on the device, in [0, block_count).
enum class BlockId : int32_t {};

// A running sequence's place in the device's per-sequence state, in [0, running_max). Kept from
// the step that starts (or restarts) it until it finishes or is preempted.
enum class SlotId : int32_t {};

// Whose share of the device a sequence uses up (DESIGN §5). Fairness between tenants comes later.
enum class TenantId : int32_t {};

// Every queue and budget of the scheduler is bounded here.
struct SchedulerLimits {
  int32_t waiting_max = 1024;  // sequences; Add() fails beyond it
  // Sequences in one step, and slots. At most step_tokens_max of them run.
  int32_t running_max = 64;
  int32_t step_tokens_max = 512;       // tokens in one step, prefill and decode together
  int32_t block_tokens = 16;           // tokens per KV block
  int32_t block_count = 1024;          // KV blocks on the device
  int32_t sequence_tokens_max = 8192;  // prompt and output of one sequence: the model's context
  // A waiting sequence with a long cached prefix may go before earlier arrivals, but never before
  // one that has waited longer than this.
  absl::Duration prefix_bonus_age_max = absl::Milliseconds(500);
  // How many of those first in line have their cached prefix compared for that, for each sequence
  // that starts: looking one up costs a hash per block of its prompt.
  int32_t prefix_bonus_candidates_max = 8;
  bool prefix_cache = true;
  // The longest step while anything decodes, and so the longest gap between two tokens: chunks of
  // prefill are cut to what StepCost predicts to end in time (step_budget.h).
  absl::Duration step_target = absl::InfiniteDuration();
};

// What a client asked for, reduced to what scheduling needs.
struct SequenceSpec {
  SequenceId id{};
  std::span<const TokenId> prompt = {};  // not empty; copied by Add()
  int32_t new_tokens_max = 0;            // > 0
  int32_t priority = 0;                  // higher goes first
  TenantId tenant{};                     // unused as yet
  absl::Time arrival = absl::UnixEpoch();
  absl::Time deadline = absl::InfiniteFuture();  // after this nobody waits for it any more
  uint64_t cache_salt = 0;  // sequences share cached prefixes only within one salt
};

// One sequence's part of a step: run tokens [begin, begin + count) of it.
struct StepSlice {
  SequenceId sequence{};
  SlotId slot{};
  int32_t begin = 0;
  int32_t count = 0;  // 1 when decoding
  // The ids of these tokens. One shorter than `count` when the last of them is still being sampled
  // by the step in flight (`last_token_pending`).
  std::span<const TokenId> tokens;
  bool last_token_pending = false;
  std::span<const BlockId> blocks;  // all its blocks; token i lives in blocks[i / block_tokens]
  bool samples = false;             // the slice reaches the last token: sample the next one
};

struct SequenceStart {
  SequenceId sequence{};
  // Of its prompt, found in the prefix cache. Always less than the prompt. It may skip over more
  // later, when another sequence computes the same prompt at the same time.
  int32_t cached_tokens = 0;
};

// The scheduler's whole output for one step.
//
// The spans point into the scheduler and hold until its next non-const call: whoever runs the
// plan copies what it needs in Launch().
struct StepPlan {
  std::vector<StepSlice> slices;
  std::vector<SequenceStart> started;  // first blocks ever; a restart after preemption is not told
  std::vector<SequenceId> preempted;   // back to waiting, their blocks and slots taken
  std::vector<SequenceId> expired;     // deadline passed; forgotten by the scheduler
};

// What a sampling slice brought.
struct SampledSlice {
  TokenId token = 0;
  bool stop = false;  // the sequence ends with this token
};

enum class SequenceEnd { kStopped, kLength };
struct FinishedSequence {
  SequenceId sequence{};
  SequenceEnd end = SequenceEnd::kStopped;
};

}  // namespace spillway
