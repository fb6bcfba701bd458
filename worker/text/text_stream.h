#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "scheduler/types.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// Turns a sequence's tokens into text deltas: whole UTF-8 characters, never part of a stop string.
//
// Text that may yet become a stop string, or the first bytes of a character, is held back until
// more tokens settle it. Bytes that can never become a character come out as U+FFFD, as Python's
// `decode(errors="replace")` has it. The concatenated deltas are the same however the tokens
// arrive.
//
// Owned by one sequence's record on the engine thread. `tokenizer` outlives it.
class TextStream {
 public:
  // `stop_strings`: none is empty.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings);

  // Adds a token and appends to `out` the text that is now settled. True when a stop string was
  // completed: the text before it has been appended, the rest is dropped and nothing may follow.
  // Control tokens give no text.
  bool Append(TokenId token, std::string& out);

  // The end without a stop string: appends what was held back.
  void Flush(std::string& out);

  // The stop string that ended the stream; empty if none.
  const std::string& matched_stop_string() const { return matched_; }

 private:
  // Moves settled text from pending_ to `out`; true at a stop string.
  bool Settle(std::string& out);

  const Tokenizer& tokenizer_;
  const std::vector<std::string> stop_strings_;
  std::string bytes_;    // of an unfinished character, at most 3
  std::string pending_;  // whole characters that may begin a stop string
  std::string matched_;
};

}  // namespace spillway
