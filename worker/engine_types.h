#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/types.h"
#include "scheduler/wait_estimate.h"
#include "worker/grammar/grammar_source.h"
#include "worker/sampling/logprob_scorer.h"
#include "worker/sampling/sampling_params.h"
#include "worker/text/output_parser.h"
#include "worker/text/reasoning_format.h"
#include "worker/text/tool_call_format.h"

// What goes into the engine loop and what comes out: the worker's own words, free of the wire's.

namespace spillway {

class TokenGrammar;

// A tokenized request. Checked by whoever makes it: the prompt is not empty, ids are in the
// vocabulary, `sampling` is valid, and prompt + new_tokens_max fits sequence_tokens_max.
struct EngineRequest {
  SequenceId id{};  // unique among all that this engine ever sees
  std::vector<TokenId> prompt;
  // Sampled by an earlier run that was lost. Output for limits, penalties, stops and text.
  std::vector<TokenId> resumed;
  // Of the resumed tokens' text, what the client already has.
  int64_t resumed_reasoning_bytes = 0;
  int64_t resumed_content_bytes = 0;
  // Likewise of its calls of tools: how many it has, begun at least, and of their arguments.
  int32_t resumed_tool_calls = 0;
  int64_t resumed_tool_argument_bytes = 0;
  ReasoningStart reasoning{};  // how the output marks its reasoning, if it does
  ToolCallStart tools{};       // how it calls tools, if that is wanted
  // What its output, behind the reasoning, must be. Given as a source, it is compiled on the way to
  // the engine.
  std::optional<GrammarSource> grammar_source;
  std::string grammar_field;  // of the request, where that comes from
  std::shared_ptr<const TokenGrammar> grammar;
  SamplingParams sampling;
  // The content begins with the prompt: as `prompt_text` has it, or as its ids read if that is
  // empty.
  bool echo = false;
  std::string prompt_text;
  // Log-probabilities of the prompt's tokens, too, as sampling.top_logprobs says it: -1: none.
  int32_t prompt_top_logprobs = -1;
  // Of an earlier run that was lost: how many log-probabilities the client has, the prompt's first.
  int32_t resumed_logprobs = 0;
  // Ends when the prompt has been run, without output. new_tokens_max is 1 then.
  bool prompt_only = false;
  std::vector<std::string> stop_strings;
  std::vector<TokenId> stop_tokens;
  int32_t new_tokens_max = 0;  // > 0; the resumed ones count
  int32_t new_tokens_min = 0;
  bool ignore_end_of_text = false;
  int32_t priority = 0;
  TenantId tenant{};
  uint64_t cache_salt = 0;
  absl::Time arrival;
  absl::Time deadline = absl::InfiniteFuture();
};

enum class EndReason { kStop, kLength };

struct SequenceUsage {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  int32_t completion_tokens = 0;
  int32_t reasoning_tokens = 0;  // of those
};

struct SequenceTimings {
  absl::Duration queue;    // arrival to start
  absl::Duration prefill;  // start to first token
  absl::Duration decode;   // first token to last
};

struct AcceptedEvent {
  int32_t prompt_tokens = 0;
};
struct StartedEvent {
  int32_t cached_tokens = 0;
};
// How likely the model held one token, where the request asks for it.
struct TokenLogprobs {
  TokenId token = 0;
  bool of_prompt = false;
  bool silent = false;           // has no text: a control token, or one that ends the text
  std::optional<float> logprob;  // none: the prompt's first, which follows nothing
  int32_t rank = 0;
  std::vector<TokenLogprob> top;  // the likeliest tokens, the likeliest first
  // Bytes of the sequence's content before the first character that holds some of its text. It has
  // been told when more content than that has; it never will be if a stop string cuts it, or if it
  // is of the reasoning (DeltaEvent::reasoning_tokens).
  int64_t content_begin = 0;
};
struct DeltaEvent {
  OutputText text;  // whole UTF-8 characters; may be empty while text is held back
  std::vector<TokenId> tokens;
  // How many of the output's first tokens, of all so far, are known to hold none of the content.
  int32_t reasoning_tokens = 0;
  // Of `tokens`; of a prompt's tokens before there is any output.
  std::vector<TokenLogprobs> logprobs;
};
struct EndedEvent {
  EndReason reason = EndReason::kStop;
  std::string stop_string;
  SequenceUsage usage;
  SequenceTimings timings;
};
struct FailedEvent {
  absl::Status status;
  std::string reason;  // a fixed word (proto/worker.proto, Failed.reason)
};

struct EngineEvent {
  SequenceId sequence{};
  std::variant<AcceptedEvent, StartedEvent, DeltaEvent, EndedEvent, FailedEvent> what;
};

// The loop's state after a step.
struct EngineLoad {
  int32_t running = 0;
  int32_t waiting = 0;
  int64_t waiting_prompt_tokens = 0;
  int32_t kv_blocks_free = 0;
  int32_t kv_blocks_total = 0;
  double step_ms = 0;               // moving averages, 0 until measured
  double prefill_tokens_per_s = 0;  // of steps that prefill
  double decode_tokens_per_s = 0;   // of all running sequences together
  uint64_t steps = 0;               // since start
  uint64_t prefix_query_tokens = 0;
  uint64_t prefix_hit_tokens = 0;
  uint64_t preemptions = 0;
  WaitEstimate newcomer;  // how long a sequence that comes now would wait
};

}  // namespace spillway
