#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/text/stop_matcher.h"
#include "worker/text/tool_call_format.h"
#include "worker/text/tool_call_reader.h"

namespace spillway {

// More of a call of a tool.
struct ToolCallDelta {
  int index = 0;          // 0 is the output's first call
  std::string name;       // with the call's first delta, and no other
  std::string arguments;  // more of a JSON object's text

  friend bool operator==(const ToolCallDelta&, const ToolCallDelta&) = default;
};

// Takes the calls of tools out of a model's content, piece by piece: for every way to cut the text
// the content and the calls are the same. What looks like a call and is none comes out as content,
// byte for byte; so does what is held back at the end. A call is told as soon as it can't be
// anything else, its arguments as they come. Markers, and whitespace around calls, belong to
// neither. Arguments are as the model writes them: they end with their last bracket, and may be no
// valid JSON.
//
//            marker, or at the start a bracket       the arguments begin
//   text --------------------------------> header --------------------> arguments
//     ^                                    |   ^ |                           |
//     +------------------------------------+   | | only the whole tells      |
//     |   it is none                           | v                           v
//     |                      another call      | whole ----------------->  tail
//     |                                        +------------------------------+
//     +-----------------------------------------------------------------------+
//                                        the row of calls has ended
//
// Pure. Owned by an OutputParser, on its thread.
class ToolCallParser {
 public:
  // Requires a format, which outlives it.
  explicit ToolCallParser(const ToolCallStart& start);

  // Takes a byte of the text; of a control token's if `control`, which is only ever part of a
  // marker. Appends what is settled.
  void Add(char byte, bool control, std::string& content, std::vector<ToolCallDelta>& calls);

  // The end: appends what was held back.
  void Flush(std::string& content);

  // Whether a control token of this text is part of a marker where it stands.
  bool IsPartOfMarker(std::string_view control) const;

  // Of what is held back, and is content or may turn out to be.
  size_t held_content_bytes() const;

  // One call was wanted, and there it is: what follows is of no interest, and dropped.
  bool ended() const { return state_ == State::kEnded; }

 private:
  enum class State { kStart, kText, kHeader, kWhole, kArguments, kTail, kEnded };

  void AddText(char byte, bool control, std::string& content, std::vector<ToolCallDelta>& calls);
  void AddToHeader(std::string& content, std::vector<ToolCallDelta>& calls);
  void AddToWhole(char byte, std::string& content, std::vector<ToolCallDelta>& calls);
  void AddToArguments(char byte, bool control, std::string& content,
                      std::vector<ToolCallDelta>& calls);
  void AddToTail(std::string& content, std::vector<ToolCallDelta>& calls);

  void EnterText();
  void EnterHeader(size_t begin, bool further);
  void EnterTail(bool in_object);
  // Begins a call: nothing that is held is content any more.
  void Tell(std::string name, std::string arguments, std::vector<ToolCallDelta>& calls);
  // No call: all that is held but the last byte is content, and that is read as text.
  void GiveBack(std::string& content, std::vector<ToolCallDelta>& calls);
  bool IsAllowed(const std::string& name) const;

  void Hold(char byte, bool control);
  // Moves the first `count` held bytes to the content, those of control tokens left out.
  void Emit(size_t count, std::string& content);
  void Drop(size_t count);
  bool IsSpaceAt(size_t at) const;

  const ToolCallFormat& format_;
  const std::vector<std::string> tools_;
  const bool one_call_;
  const std::vector<std::string> opens_;

  State state_ = State::kStart;
  std::string held_;
  std::vector<bool> held_control_;      // for each byte held: it is a control token's
  std::optional<StopMatcher> markers_;  // kText: looks for what opens a row
  size_t settled_space_ = 0;  // kText: how many of the first bytes held are known to be whitespace
  bool skips_space_ = false;  // kText: behind a call
  CallRow row_;
  size_t header_begin_ = 0;                // kHeader: of held_, behind the marker
  bool further_ = false;                   // kHeader: not the row's first
  CallHeader header_;                      // kWhole
  std::optional<BracketScanner> scanner_;  // kWhole, kArguments
  bool in_object_ = false;                 // kTail
  int calls_ = 0;                          // told so far
};

}  // namespace spillway
