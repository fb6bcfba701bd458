#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "router/generate_request.h"
#include "server/dialects/openai_endpoint.h"

namespace spillway {

// A place in a choice's text. Characters are code points, as Python counts them.
struct TextPosition {
  uint64_t bytes = 0;
  int64_t characters = 0;

  // Requires whole characters.
  void Advance(std::string_view text);
};

// The "logprobs" object of a choice or of a chunk, made token by token. What is less likely than
// -9999 says is written as -9999, as OpenAI does, since JSON has no number for impossible.
//
// A token that is not whole characters is named by its bytes, as OpenAI names it: "\\xe4\\xbd", and
// in /v1/completions "bytes:\\xe4\\xbd". There top_logprobs always has the token itself; of tokens
// with one name it keeps the likeliest.
class OpenAiLogprobs {
 public:
  explicit OpenAiLogprobs(OpenAiEndpoint endpoint) : endpoint_(endpoint) {}

  // `text_offset`: characters of the choice's text before the token's; only completions tell it.
  // Chats leave out tokens without text.
  void Add(const TokenLogprobs& logprobs, int64_t text_offset);
  void AppendTo(std::string& out) const;
  void Clear();

  bool empty() const { return tokens_.empty(); }
  size_t bytes() const {
    return tokens_.size() + offsets_.size() + logprobs_.size() + top_logprobs_.size();
  }

 private:
  void AddToChat(const TokenLogprobs& logprobs);
  void AddToCompletion(const TokenLogprobs& logprobs, int64_t text_offset);

  const OpenAiEndpoint endpoint_;
  // The insides of arrays. Chat has only the first.
  std::string tokens_;
  std::string offsets_;
  std::string logprobs_;
  std::string top_logprobs_;
};

}  // namespace spillway
