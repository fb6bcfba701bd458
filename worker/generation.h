#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/types.h"
#include "worker/engine_types.h"
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

  // Replays the resumed tokens: fills `content` with their text that the client doesn't have yet.
  // Returns how the sequence ends if it already had with them. Call once, first.
  std::optional<EndReason> Replay(std::string& content);

  // Takes the next sampled token: appends the text that it settles to `content`. Returns how the
  // sequence ends with it, if it does; held-back text is then flushed.
  std::optional<EndReason> OnToken(TokenId token, std::string& content);

  // Bytes of content before the first character that holds some of the next token's text.
  int64_t content_begin() const {
    return content_bytes_ + static_cast<int64_t>(text_.pending_bytes());
  }

  // Tokens that must not be sampled as output number `output_index` (0 is the first).
  std::span<const TokenId> BannedAt(int32_t output_index) const;

  const EngineRequest& request() const { return request_; }
  // Prompt, resumed and sampled tokens. Never reallocates, so spans into it stay valid.
  std::span<const TokenId> tokens() const { return tokens_; }
  int32_t prompt_tokens() const { return static_cast<int32_t>(request_.prompt.size()); }
  int32_t output_tokens() const { return static_cast<int32_t>(tokens_.size()) - prompt_tokens(); }
  const std::string& stop_string() const { return text_.matched_stop_string(); }

  // Filled by EngineLoop, for the final report.
  int32_t cached_tokens = 0;
  absl::Time started;
  absl::Time first_token;

 private:
  std::optional<EndReason> AddToken(TokenId token, std::string& content);

  const EngineRequest request_;
  const Tokenizer& tokenizer_;
  std::vector<TokenId> tokens_;
  TextStream text_;
  int64_t content_bytes_ = 0;  // so far, those of resumed tokens among them
};

}  // namespace spillway
