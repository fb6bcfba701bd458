#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace spillway {

class TokenAccount;

// What a client asked for, in no dialect: the dialects make it, the router runs it.

struct ChatPrompt {
  std::string messages_json;         // canonical OpenAI messages, an array
  std::string tools_json;            // an array, or empty
  std::string template_kwargs_json;  // an object, or empty
  bool add_generation_prompt = true;
};

struct SamplingOptions {
  // Those that may be none are then as the model's files say, else 1, 1, 0 (all), 0 and 1.
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<int32_t> top_k;
  std::optional<float> min_p;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::optional<float> repetition_penalty;
  std::map<int32_t, float> logit_bias;
  std::optional<uint64_t> seed;  // none: the router draws one, so that a rerun can't differ
  // -1: no log-probabilities; 0: the sampled token's; n: also those of the n likeliest.
  int32_t top_logprobs = -1;
};

// A chat, a text, or token ids.
using PromptSource = std::variant<ChatPrompt, std::string, std::vector<int32_t>>;

// What the answer to a chat with tools may do with them.
struct ToolUse {
  enum class Choice {
    kAuto,      // text, calls, or both
    kRequired,  // calls, and nothing else
    kNamed,     // one call, of the tool `name`
  };
  Choice choice = Choice::kAuto;
  std::string name = {};
  bool one_call = false;  // the answer ends with its first call
};

// What the content must be: tokens that would lead elsewhere are not sampled.
struct OutputConstraint {
  enum class Kind {
    kJsonSchema,     // `text`: a JSON text that the schema, itself JSON text, accepts
    kJsonObject,     // any JSON object
    kRegex,          // `text`: matched as a whole
    kChoice,         // one of `choices`
    kGrammar,        // `text`: EBNF, as GBNF has it, with the rule `root`
    kStructuralTag,  // `text`: XGrammar's, JSON text
  };
  Kind kind = Kind::kJsonObject;
  std::string text = {};
  std::vector<std::string> choices = {};
  std::string field = {};  // of the request, where this comes from: a refusal names it
};

struct GenerateRequest {
  std::string request_id;
  std::string model;       // as the client wrote it; empty: the default service
  std::string service;     // that it is sent to, whatever others there are; empty: `model` decides
  std::string tenant;      // from the token
  std::string token_name;  // for logs; empty where no token was needed
  // Of the token, which may limit what is done; null: nothing does.
  std::shared_ptr<TokenAccount> account;
  std::string traceparent;  // of the client's trace, valid, as W3C Trace Context has it; or empty
  PromptSource prompt;
  SamplingOptions sampling;
  std::vector<std::string> stop_strings;
  std::vector<int32_t> stop_token_ids;
  int32_t new_tokens_max = 0;  // 0: as many as the context has room for
  int32_t new_tokens_min = 0;
  bool ignore_end_of_text = false;
  bool echo = false;  // the content begins with the prompt
  // Log-probabilities of the prompt's tokens, too; as SamplingOptions::top_logprobs.
  int32_t prompt_logprobs = -1;
  bool inline_reasoning = false;         // reasoning stays in the content, with its markers
  std::optional<ToolUse> tool_use = {};  // none: calls of tools aren't looked for
  std::optional<OutputConstraint> constraint = {};
  bool prompt_only = false;                           // no output: new_tokens_max isn't used
  int32_t choices = 1;                                // n
  int32_t priority = 0;                               // higher first
  absl::Duration timeout = absl::InfiniteDuration();  // to the end of the answer
  // Waiting longer for its turn, or being predicted to, it is offered to whoever may have it done
  // elsewhere (ResponseSink::TakeElsewhere).
  absl::Duration spill_after = absl::InfiniteDuration();
};

// A token with its natural log-probability.
struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0;  // may be -infinity
  std::string text;   // not always whole characters
};

// How likely the model held one token of the output, or of the prompt.
struct TokenLogprobs {
  TokenLogprob token;
  bool known = true;  // false: the prompt's first token follows nothing
  bool of_prompt = false;
  bool silent = false;            // has no text: a control token, or one that ends the text
  int32_t rank = 0;               // 1: no token was likelier
  std::vector<TokenLogprob> top;  // the likeliest, the likeliest first
  // Bytes of the choice's content before the first character that holds some of the token's text.
  uint64_t content_begin = 0;
};

// More of a call of a tool.
struct ToolCallPiece {
  int32_t index = 0;           // 0 is the choice's first call
  std::string name = {};       // with the call's first delta, and no other
  std::string arguments = {};  // the next bytes, whole characters, of a JSON object's text
};

// The next piece of one choice's output. Settled: none of it is ever taken back.
struct OutputDelta {
  std::string content;  // whole UTF-8 characters
  // Where asked for: of the tokens whose text begins in `content`, of silent ones among them, and
  // of the prompt's as they come. Tokens of the reasoning have none.
  std::vector<TokenLogprobs> logprobs = {};
  // What the model thinks before it answers; all of it comes before any content.
  std::string reasoning = {};
  // How many of the choice's first tokens are known to hold none of its content.
  int32_t reasoning_tokens = 0;
  std::vector<ToolCallPiece> tool_calls = {};

  bool empty() const {
    return content.empty() && reasoning.empty() && logprobs.empty() && tool_calls.empty();
  }
};

enum class FinishReason { kStop, kLength };

struct Usage {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  int32_t completion_tokens = 0;
  int32_t reasoning_tokens = 0;  // of those, what came before the content
  std::string stop_string = {};  // that ended the answer; empty: none did
};

}  // namespace spillway
