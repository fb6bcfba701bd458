#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/text/reasoning_format.h"
#include "worker/text/stop_matcher.h"
#include "worker/text/tool_call_parser.h"

namespace spillway {

// What a model's text is made of. All reasoning comes before all else.
struct OutputText {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallDelta> tool_calls;

  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty(); }
};

// Splits what a model writes into reasoning, content and calls of tools, piece by piece: for every
// way to cut the text the concatenated channels are the same, and markers belong to none. Text that
// may yet be a marker, or whitespace that may turn out to be at the reasoning's end, is held back.
//
//            open marker              close marker                      no marker
//   start ---------------> reasoning --------------> answer's start ---------------> answer
//     |                                                    | answer's open marker
//     | no marker: all of it is content                    v
//     +--------------------------------> answer     wrapped answer
//
// The reasoning is what comes first: an open marker behind anything but whitespace is content, as
// is everything behind the first close marker. Without the close marker all is reasoning. As
// llama.cpp has it, the reasoning loses the whitespace at both its ends, and the content the
// whitespace that parted it from the reasoning; content without reasoning stays as it is. Calls are
// looked for in what would be content (ToolCallParser).
//
// Pure. Holds back no more than what was written. Owned by a TextStream, on its thread.
class OutputParser {
 public:
  // The formats outlive it.
  explicit OutputParser(const ReasoningStart& start = {}, const ToolCallStart& tools = {});

  // Takes whole UTF-8 characters and appends to `out` what is settled.
  void Append(std::string_view text, OutputText& out);

  // Takes the text of a control token, which is only ever part of a marker.
  void AppendControl(std::string_view text, OutputText& out);

  // The end: appends what was held back, but for whitespace that the channels don't have.
  void Flush(OutputText& out);

  bool active() const { return format_ != nullptr || tools_.has_value(); }
  // No more text is of interest.
  bool ended() const { return tools_.has_value() && tools_->ended(); }
  bool IsCloseMarker(std::string_view text) const;
  bool in_reasoning() const {
    return state_ == State::kReasoningStart || state_ == State::kReasoning;
  }
  // There was reasoning, and its close marker has come.
  bool reasoning_closed() const { return reasoning_closed_; }

  // Bytes read so far, those of markers among them; not counted any more once the content begins.
  size_t read_bytes() const { return read_bytes_; }
  // Bytes read that are known not to be content; once it has begun, those before it. Never shrinks.
  size_t content_begin() const;
  bool content_begun() const { return content_begin_.has_value(); }
  // Of content that is held back, and of what may yet turn out to be content.
  size_t held_content_bytes() const;

 private:
  enum class State {
    kStart,
    kReasoningStart,  // leading whitespace, and a second open marker behind the prompt's, are left
                      // out
    kReasoning,
    kAnswerStart,
    kAnswer,
    kWrappedAnswer,
  };

  void Add(char byte, bool control, OutputText& out);
  // In a state that looks for a marker where it stands: what the bytes held so far are.
  void Decide(OutputText& out);
  // There is no marker where it would stand: what is held is text.
  void EnterText(OutputText& out);
  // In a state that looks for a marker in running text.
  void Search(OutputText& out);
  void Enter(State state);
  // The markers that the state looks for where it stands, and where each leads.
  struct Choice {
    std::string_view marker;
    State next;
  };
  std::vector<Choice> Choices() const;
  bool MayContinue(std::string_view text) const;

  bool is_anchored() const {
    return state_ == State::kStart || state_ == State::kReasoningStart ||
           state_ == State::kAnswerStart;
  }
  // Of the answer: content, or of a call.
  void AddAnswer(std::string_view text, bool control, OutputText& out);
  // The content begins with the first byte held, or else with the next.
  void BeginContent();
  // Moves the first `count` held bytes to the state's channel, those of control tokens left out.
  void Emit(size_t count, OutputText& out);
  void Drop(size_t count);
  bool IsSpaceAt(size_t at) const;

  const ReasoningFormat* const format_;
  State state_ = State::kAnswer;
  bool reasoning_closed_ = false;
  size_t read_bytes_ = 0;
  std::optional<size_t> content_begin_;
  std::string held_;
  std::vector<bool> held_control_;  // for each byte held: it is a control token's
  size_t held_space_ = 0;           // how many of the first bytes held are known to be whitespace
  bool skips_space_ = false;        // searching: nothing but whitespace has come yet
  std::optional<StopMatcher> closes_;    // searching: for what ends the state
  std::optional<ToolCallParser> tools_;  // what is answer goes through it
};

}  // namespace spillway
