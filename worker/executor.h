#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/sampling/logprob_scorer.h"
#include "worker/sampling/sampling_params.h"

namespace spillway {

// Which tokens one sequence may go on with.
class TokenMask {
 public:
  virtual ~TokenMask() = default;
  // A bit for each token of the vocabulary, in words of 32, the first token in the lowest bit:
  // those that may follow `output`, all of the sequence's output so far, and `pending`, which comes
  // behind it unless it is -1. Empty: any may. The span holds until the next call. The executor
  // calls it for each row that samples, in their order, from a thread of its own, never twice at
  // once.
  virtual std::span<const int32_t> Allowed(std::span<const TokenId> output, TokenId pending) = 0;
};

// One sequence's part of a step, as the executor needs it: the scheduler's slice and how to sample.
struct StepRow {
  StepSlice slice;
  // The fields below matter only where slice.samples, `history` also where tokens are scored.
  const SamplingParams* sampling = nullptr;  // outlives the ticket
  // All of the sequence's tokens known at launch, prompt first: for penalties. Outlives the ticket.
  // A pending token (slice.last_token_pending) follows them; the executor knows it.
  std::span<const TokenId> history;
  int32_t prompt_tokens = 0;  // of `history`; the rest is output
  // Tokens that must not be sampled (end of text before new_tokens_min). Outlives the ticket.
  std::span<const TokenId> banned;
  TokenMask* mask = nullptr;  // null: any token; else Executor::takes_masks(). Outlives the ticket
  // Tokens [score_begin, score_end) of `history` are scored, each by the row of the token before
  // it: slice.begin < score_begin and score_end <= slice.begin + slice.count + 1. None by default.
  int32_t score_begin = 0;
  int32_t score_end = 0;
  int32_t score_top = 0;  // how many likeliest tokens each score tells
};

// A step in flight. Tickets count up from 1.
enum class Ticket : int64_t {};

struct SampledToken {
  static constexpr TokenId kNone = -1;
  TokenId token = 0;      // kNone: the row's logits were not numbers; its sequence must fail
  TokenScore score = {};  // only where the row's params ask for it
};

// What an executor gives room for.
struct ExecutorShape {
  int32_t running_max = 0;      // slots
  int32_t step_tokens_max = 0;  // tokens in one step
  int32_t block_tokens = 0;     // tokens per KV block
  int32_t block_count = 0;
  int32_t sequence_tokens_max = 0;
  int32_t vocabulary_size = 0;
  int64_t kv_bytes = 0;  // of all blocks
};

// Runs steps of one model on one device: the seam between deciding and computing. Two of them, CPU
// and CUDA, over the same ModelSpec and the same operators.
//
// Steps run in the order of their launches. At most Scheduler::kPlansInFlightMax tickets are in
// flight. A row with `last_token_pending` takes its last input from the token that the ticket
// before sampled for the same slot.
//
// Threading: all calls from the engine thread. Launch() returns before the step has run.
class Executor {
 public:
  virtual ~Executor() = default;

  // Starts a step. The spans and plan may change after it returns, except what StepRow says
  // outlives the ticket. INTERNAL: the device failed; the executor is of no more use.
  virtual absl::StatusOr<Ticket> Launch(std::span<const StepRow> rows) = 0;

  // Waits for the oldest ticket in flight, which must be `ticket`: one token for each of its rows
  // with `samples`, in their order. The span, and those in it, hold until the next Collect().
  // INTERNAL as above.
  virtual absl::StatusOr<std::span<const SampledToken>> Collect(Ticket ticket) = 0;

  // What the step collected last scored: of all rows in their order, token by token. Where the
  // logits were not numbers a score's logprob is NaN. Holds until the next Collect().
  virtual std::span<const TokenScore> prompt_scores() const = 0;

  // Whether rows may have a mask.
  virtual bool takes_masks() const { return false; }

  virtual const ExecutorShape& shape() const = 0;
  virtual std::string device_name() const = 0;  // "cpu, 2 threads, avx512_vnni"
  virtual std::string numerics_id() const = 0;  // equal ids: equal results (DESIGN §6)
};

}  // namespace spillway
