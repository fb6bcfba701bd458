#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/types.h"
#include "worker/engine_types.h"
#include "worker/executor.h"
#include "worker/prompt_echo.h"
#include "worker/text/text_stream.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// One sequence's output: turns its sampled tokens into deltas and decides when it ends.
//
// Pure: no clock, no threads. Owned by EngineLoop, on the engine thread. `tokenizer` outlives it.
class Generation {
 public:
  Generation(EngineRequest request, const Tokenizer& tokenizer);

  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // All text is appended without what the client has already from a run that was lost
  // (EngineRequest::resumed_reasoning_bytes, resumed_content_bytes, resumed_tool_calls …).

  // Replays the resumed tokens, the echo of the prompt before them, into text_at_start. Returns
  // how the sequence ends if it already had with them. Call once, first.
  std::optional<EndReason> Replay();

  // Appends what hasn't been taken yet of the echo of the first `tokens` tokens of the prompt.
  void TakeEcho(int32_t tokens, std::string& content);

  // The first and last + 1 of the prompt's tokens that are scored by a slice; none twice.
  struct ScoreRange {
    int32_t begin = 0;
    int32_t end = 0;
  };
  ScoreRange TakeScores(int32_t slice_begin, int32_t slice_count);

  // Whether any of the prompt's tokens is yet to be scored.
  bool scores_prompt() const {
    return request_.prompt_top_logprobs >= 0 && scored_ < prompt_tokens();
  }
  int32_t scored() const { return scored_; }

  // Bytes of content before the first character that holds some of token number `index` of the
  // prompt; 0 where there is no echo.
  int64_t EchoBeginOf(int32_t index) const;

  // Takes the next sampled token: appends the text that it settles to `text`. Returns how the
  // sequence ends with it, if it does; held-back text is then flushed.
  std::optional<EndReason> OnToken(TokenId token, OutputText& text);

  // Bytes of content before the first character that holds some of the next token's text, if that
  // turns out to be content.
  int64_t content_begin() const {
    return content_bytes_ + static_cast<int64_t>(text_.pending_bytes());
  }

  // Tokens that must not be sampled as output number `output_index` (0 is the first): those that
  // would end the text before new_tokens_min. A stop string may end it all the same, and so does a
  // grammar: it knows the end better.
  std::span<const TokenId> BannedAt(int32_t output_index) const;

  // What keeps the output in its grammar; null: it has none.
  TokenMask* mask() const { return mask_.get(); }

  const EngineRequest& request() const { return request_; }
  // Prompt, resumed and sampled tokens. Never reallocates, so spans into it stay valid.
  std::span<const TokenId> tokens() const { return tokens_; }
  int32_t prompt_tokens() const { return static_cast<int32_t>(request_.prompt.size()); }
  int32_t output_tokens() const { return static_cast<int32_t>(tokens_.size()) - prompt_tokens(); }
  // How many of the output's first tokens are known to be of the reasoning (TextStream).
  int32_t reasoning_tokens() const { return text_.reasoning_tokens(); }
  const std::string& stop_string() const { return text_.matched_stop_string(); }

  // Whether a token has no text of its own: a control token, or one that ends the text.
  bool IsSilent(TokenId token) const;

  // What can be told as soon as the sequence starts.
  OutputText text_at_start;

  // Filled by EngineLoop, for the final report.
  int32_t cached_tokens = 0;
  absl::Time started;
  absl::Time first_token;

 private:
  void DropCallsThatAreTold(std::vector<ToolCallDelta>& calls, size_t new_from);
  bool EndsText(TokenId token) const;
  std::optional<EndReason> AddToken(TokenId token, OutputText& text);

  const EngineRequest request_;
  const Tokenizer& tokenizer_;
  std::vector<TokenId> tokens_;
  std::vector<TokenId> ends_;  // all that end the text
  TextStream text_;
  std::unique_ptr<TokenMask> mask_;
  std::optional<PromptEcho> echo_;
  int64_t echo_taken_ = 0;  // bytes of it
  // So far, those that the client has from a lost run among them.
  int64_t content_bytes_ = 0;
  int64_t reasoning_bytes_ = 0;
  int32_t tool_calls_ = 0;
  int64_t tool_argument_bytes_ = 0;
  int32_t scored_ = 0;  // tokens of the prompt: these need no scoring (any more)
};

}  // namespace spillway
