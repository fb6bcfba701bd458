#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "scheduler/types.h"
#include "worker/text/stop_matcher.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// Turns a sequence's tokens into text deltas: whole UTF-8 characters, never part of a stop string.
//
// Text that may yet become a stop string, or the first bytes of a character, is held back until
// more tokens settle it. Bytes that can never become a character come out as U+FFFD, as Python's
// `decode(errors="replace")` has it. Of several stop strings the one that is completed first ends
// the text, of those completed by the same byte the longest. The concatenated deltas are the same
// however the tokens arrive.
//
// Owned by one sequence's record on the engine thread. `tokenizer` outlives it.
class TextStream {
 public:
  // `stop_strings`: none is empty; they are looked for in the text, so one with bad UTF-8 is taken
  // with U+FFFD in its place.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings);

  // Adds a token and appends to `out` the text that is now settled. True when a stop string was
  // completed: the text before it has been appended, the rest is dropped and nothing may follow.
  // Control tokens give no text. Requires that no stop string was completed before.
  bool Append(TokenId token, std::string& out);

  // The end without a stop string: appends what was held back. True when the replacement of an
  // unfinished character completes a stop string, which then ends the text as in Append().
  bool Flush(std::string& out);

  // Bytes of whole characters that are held back.
  size_t pending_bytes() const { return pending_.size(); }

  // The stop string that ended the stream; empty if none.
  const std::string& matched_stop_string() const { return matched_; }

 private:
  // Takes the whole characters from the front of bytes_, with the rest too `at_end`. Moves settled
  // text from pending_ to `out`; true at a stop string.
  bool Settle(bool at_end, std::string& out);

  // Adds one whole character to pending_; true at a stop string, which is cut off.
  bool AddCharacter(std::string_view character);

  const Tokenizer& tokenizer_;
  const std::vector<std::string> stop_strings_;
  StopMatcher matcher_;
  std::string bytes_;    // of an unfinished character, at most 3 between calls
  std::string pending_;  // whole characters; between calls those that may begin a stop string
  std::string matched_;
};

}  // namespace spillway
