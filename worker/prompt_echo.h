#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/types.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// A prompt as text, for a client that wants it back in front of its answer, and where in it each
// token begins. Pure.
class PromptEcho {
 public:
  // `text` is the prompt as it was given; empty if it was given as ids, whose text is then that of
  // their tokens: control tokens have none, and bytes that are no character become U+FFFD.
  PromptEcho(const Tokenizer& tokenizer, std::span<const TokenId> prompt, std::string text);

  const std::string& text() const { return text_; }

  // Bytes of the text before the first character that holds some of token number `index`; all of
  // them for the number of tokens. Never inside a character, and never falls. Where a tokenizer
  // leaves out or adds bytes, within a few of the truth.
  int64_t BeginOf(int32_t index) const { return begins_[static_cast<size_t>(index)]; }

 private:
  std::string text_;
  std::vector<int64_t> begins_;  // [tokens + 1]
};

}  // namespace spillway
