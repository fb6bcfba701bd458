#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "worker/text/tool_call_format.h"

// What the text behind a marker, or behind a call, is as far as it has come: pure functions of the
// text so far. A machine that asks them with each byte can't depend on how the text was cut.

namespace spillway {

// A call whose name and arguments are known whole.
struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object's text
};

// Where a value ends, found byte by byte by its brackets and strings alone: models write line feeds
// into strings, which no strict parser takes.
class BracketScanner {
 public:
  enum class Step { kMore, kEnd, kBad };
  // `quotes`: what strings begin and end with.
  explicit BracketScanner(std::string_view quotes = "\"") : quotes_(quotes) {}

  // The first byte must be a bracket. kEnd: with this byte all are closed. kBad: it closes what is
  // not open, or nests too deep. Nothing may follow either.
  Step Add(char byte);

 private:
  std::string_view quotes_;
  std::string open_;  // brackets, the outermost first
  char quote_ = 0;    // of the string that it is in
  bool escaped_ = false;
};

// What is known of the calls that one marker opens.
struct CallRow {
  bool bare = false;      // there was no marker: the calls begin the content
  bool json = false;      // they are JSON objects …
  bool in_array = false;  // … or Python's calls, in brackets
};

// How a call begins.
struct CallHeader {
  enum class State {
    kMore,       // may yet be one
    kBad,        // is none
    kArguments,  // the arguments of a call of `name` begin at `begin` with '{', and may be told
    kObject,     // a JSON object begins at `begin`, of which only the whole tells
    kPython,     // f(…) begins at `begin`, of which only the whole tells
  };
  State state = State::kMore;
  CallRow row;
  std::string name;
  size_t begin = 0;
  size_t bracket = 0;  // the first: where a BracketScanner starts
};

// `text` comes behind the marker that opens a row; with `further`, from the end of the call before.
CallHeader ReadCallHeader(const ToolCallFormat& format, const CallRow& row, bool further,
                          std::string_view text);

// What is behind a call's last byte. `in_object`: behind its arguments, with the object around them
// still open.
struct CallTail {
  enum class State {
    kMore,
    kNext,  // another call follows
    kEnd,   // the row has ended, behind the first `end` bytes
  };
  State state = State::kMore;
  size_t end = 0;
};
CallTail ReadCallTail(const ToolCallFormat& format, const CallRow& row, bool in_object,
                      std::string_view text);

// Nothing: it is no call. One without arguments has {}, but is none if `bare`.
std::optional<ToolCall> ReadCallObject(std::string_view object, bool bare);

// f(a=1, b=[True, None], c={'d': "e"}): Python's literals become JSON's. Nothing: it is something
// else.
std::optional<ToolCall> ReadPythonCall(std::string_view call);

}  // namespace spillway
