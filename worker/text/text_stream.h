#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/types.h"
#include "worker/text/output_parser.h"
#include "worker/text/stop_matcher.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// Turns a sequence's tokens into text deltas: whole UTF-8 characters, never part of a stop string,
// reasoning apart from content.
//
// Text that may yet become a stop string or a marker, or the first bytes of a character, is held
// back until more tokens settle it. Bytes that can never become a character come out as U+FFFD, as
// Python's `decode(errors="replace")` has it. Of several stop strings the one that is completed
// first ends the text, of those completed by the same byte the longest. The concatenated deltas are
// the same however the tokens arrive.
//
// Stop strings are looked for in the content alone (docs/decisions/0014): a "\n\n" that is to end
// the answer must not end the thoughts before it. One that is the reasoning's close marker, give or
// take whitespace around it, ends the sequence there.
//
// Owned by one sequence's record on the engine thread. `tokenizer` outlives it.
class TextStream {
 public:
  // `stop_strings`: none is empty; they are looked for in the text, so one with bad UTF-8 is taken
  // with U+FFFD in its place.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
             OutputParser parser = OutputParser());

  // Adds a token and appends to `out` the text that is now settled. True when a stop string was
  // completed: the text before it has been appended, the rest is dropped and nothing may follow.
  // Control tokens give no text. Likewise true when the parser wants no more
  // (OutputParser::ended()). Requires that it was false before.
  bool Append(TokenId token, OutputText& out);

  // The end without a stop string: appends what was held back. True when what is released now
  // completes a stop string, which then ends the text as in Append().
  bool Flush(OutputText& out);

  // A token that gives no text, such as the one that ends it.
  void Skip() { CountToken(); }

  // Bytes of whole characters that are held back, and are content or may turn out to be.
  size_t pending_bytes() const { return pending_.size() + parser_.held_content_bytes(); }

  // How many tokens, from the first on, are known to hold none of the content: those of the
  // reasoning and its markers. Never shrinks; final once there is content, or the end.
  int32_t reasoning_tokens() const { return reasoning_tokens_; }

  // The stop string that ended the stream; empty if none.
  const std::string& matched_stop_string() const { return matched_; }

  bool in_reasoning() const { return parser_.in_reasoning(); }
  bool reasoning_closed() const { return parser_.reasoning_closed(); }

 private:
  bool Add(TokenId token, OutputText& out);
  void CountToken();
  void SettleCount();

  // Takes the whole characters from the front of bytes_, with the rest too `at_end`. Moves settled
  // text to `out`; true at a stop string.
  bool Settle(bool at_end, OutputText& out);

  // Moves what the parser has settled on, through the search for stop strings; true at one.
  bool Deliver(OutputText& out);

  const Tokenizer& tokenizer_;
  const std::vector<std::string> stop_strings_;
  StopMatcher matcher_;
  std::string reasoning_stop_;  // the stop string that is the reasoning's close marker, if one is
  OutputParser parser_;
  OutputText parsed_;    // what the parser has settled on; empty between calls
  std::string bytes_;    // of an unfinished character, at most 3 between calls
  std::string pending_;  // content; between calls what may begin a stop string
  std::string matched_;

  int32_t reasoning_tokens_ = 0;
  // Of the tokens behind those, until the content begins: the bytes that the parser had read with
  // each.
  std::deque<size_t> uncounted_;
  bool counted_ = false;  // the content has begun
};

}  // namespace spillway
