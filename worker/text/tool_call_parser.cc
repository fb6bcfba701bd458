#include "worker/text/tool_call_parser.h"

#include <algorithm>
#include <utility>

namespace spillway {
namespace {

// Of what comes before the arguments, and behind them. Read anew with each byte.
constexpr size_t kHeaderBytesMax = 1024;
// Of a call of which only the whole tells.
constexpr size_t kWholeBytesMax = 256u << 10;

std::vector<std::string> Used(const ToolCallFormat::Markers& markers) {
  std::vector<std::string> used;
  for (const std::string_view marker : markers) {
    if (!marker.empty()) used.emplace_back(marker);
  }
  return used;
}

}  // namespace

ToolCallParser::ToolCallParser(const ToolCallStart& start)
    : format_(*start.format),
      tools_(start.tools),
      one_call_(start.one_call),
      opens_(Used(format_.opens)) {
  markers_.emplace(opens_);
}

void ToolCallParser::Add(char byte, bool control, std::string& content,
                         std::vector<ToolCallDelta>& calls) {
  switch (state_) {
    case State::kStart:
    case State::kText:
      return AddText(byte, control, content, calls);
    case State::kHeader:
      Hold(byte, control);
      return AddToHeader(content, calls);
    case State::kWhole:
      Hold(byte, control);
      return AddToWhole(byte, content, calls);
    case State::kArguments:
      return AddToArguments(byte, control, content, calls);
    case State::kTail:
      Hold(byte, control);
      return AddToTail(content, calls);
    case State::kEnded:
      return;
  }
}

void ToolCallParser::Flush(std::string& content) {
  const bool is_text = state_ != State::kTail && state_ != State::kEnded;
  if (is_text) Emit(held_.size(), content);
  Drop(held_.size());
}

bool ToolCallParser::IsPartOfMarker(std::string_view control) const {
  const auto contains = [&](std::string_view marker) {
    return !marker.empty() && marker.find(control) != std::string_view::npos;
  };
  if (state_ == State::kHeader || state_ == State::kTail) {
    if (contains(format_.close) || contains(format_.call_open) || contains(format_.call_close) ||
        contains(format_.name_end) || contains(format_.id_begin)) {
      return true;
    }
  }
  return std::any_of(opens_.begin(), opens_.end(), contains);
}

size_t ToolCallParser::held_content_bytes() const {
  if (state_ == State::kTail || state_ == State::kEnded) return 0;
  return static_cast<size_t>(std::count(held_control_.begin(), held_control_.end(), false));
}

void ToolCallParser::AddText(char byte, bool control, std::string& content,
                             std::vector<ToolCallDelta>& calls) {
  Hold(byte, control);
  const bool space = IsSpaceAt(held_.size() - 1);
  if (skips_space_ && space && held_.size() == 1) return Drop(1);
  if (state_ == State::kStart && !space) {
    const bool opens =
        format_.bare && !control && settled_space_ + 1 == held_.size() &&
        (byte == '[' || (byte == '{' && format_.syntax != ToolCallFormat::Syntax::kPython));
    if (opens) {
      row_ = {.bare = true};
      EnterHeader(settled_space_, /*further=*/false);
      return AddToHeader(content, calls);
    }
    state_ = State::kText;
  }
  if (const int found = markers_->Add(byte); found >= 0) {
    size_t text = held_.size() - opens_[static_cast<size_t>(found)].size();
    while (text > 0 && IsSpaceAt(text - 1)) --text;
    Emit(text, content);
    row_ = {};
    return EnterHeader(held_.size(), /*further=*/false);
  }
  // Text is settled when it is no longer the start of a marker; whitespace, by text behind it.
  const size_t settled = held_.size() - markers_->open_bytes();
  size_t text = settled;
  while (text > settled_space_ && IsSpaceAt(text - 1)) --text;
  const bool only_space = text == settled_space_;
  if (!only_space) {
    Emit(text, content);
    skips_space_ = false;
  }
  settled_space_ = only_space ? settled : settled - text;
}

void ToolCallParser::AddToHeader(std::string& content, std::vector<ToolCallDelta>& calls) {
  const std::string_view text = std::string_view(held_).substr(header_begin_);
  CallHeader header = ReadCallHeader(format_, row_, further_, text);
  switch (header.state) {
    case CallHeader::State::kMore:
      if (text.size() >= kHeaderBytesMax) GiveBack(content, calls);
      return;
    case CallHeader::State::kBad:
      return GiveBack(content, calls);
    case CallHeader::State::kArguments:
      row_ = header.row;
      if (!IsAllowed(header.name)) return GiveBack(content, calls);
      Tell(std::move(header.name), "{", calls);
      state_ = State::kArguments;
      scanner_.emplace();
      scanner_->Add('{');
      return;
    case CallHeader::State::kObject:
    case CallHeader::State::kPython:
      break;
  }
  row_ = header.row;
  header_ = std::move(header);
  state_ = State::kWhole;
  scanner_.emplace(header_.state == CallHeader::State::kPython ? "\"'" : "\"");
  // What is there already; it is at its end with the last byte at the earliest.
  const std::string begun(text.substr(header_.bracket));
  for (size_t i = 0; i + 1 < begun.size(); ++i) {
    if (scanner_->Add(begun[i]) != BracketScanner::Step::kMore) return GiveBack(content, calls);
  }
  AddToWhole(begun.back(), content, calls);
}

void ToolCallParser::AddToWhole(char byte, std::string& content,
                                std::vector<ToolCallDelta>& calls) {
  const BracketScanner::Step step = scanner_->Add(byte);
  if (step == BracketScanner::Step::kMore && held_.size() < kWholeBytesMax) return;
  if (step != BracketScanner::Step::kEnd) return GiveBack(content, calls);
  const std::string_view whole = std::string_view(held_).substr(header_begin_ + header_.begin);
  std::optional<ToolCall> call = header_.state == CallHeader::State::kPython
                                     ? ReadPythonCall(whole)
                                     : ReadCallObject(whole, row_.bare);
  if (!call || !IsAllowed(call->name)) {
    // All of it is read: what follows is looked at anew.
    Emit(held_.size(), content);
    return EnterText();
  }
  Tell(std::move(call->name), std::move(call->arguments), calls);
  EnterTail(/*in_object=*/false);
}

void ToolCallParser::AddToArguments(char byte, bool control, std::string& content,
                                    std::vector<ToolCallDelta>& calls) {
  if (control) return;
  const BracketScanner::Step step = scanner_->Add(byte);
  if (step == BracketScanner::Step::kBad) {
    EnterText();
    return AddText(byte, control, content, calls);
  }
  if (calls.empty() || calls.back().index != calls_ - 1) calls.push_back({.index = calls_ - 1});
  calls.back().arguments += byte;
  if (step == BracketScanner::Step::kEnd) EnterTail(/*in_object=*/row_.json);
}

void ToolCallParser::AddToTail(std::string& content, std::vector<ToolCallDelta>& calls) {
  CallTail tail = ReadCallTail(format_, row_, in_object_, held_);
  if (tail.state == CallTail::State::kMore) {
    if (held_.size() < kHeaderBytesMax) return;
    tail = {.state = CallTail::State::kEnd};
  }
  if (tail.state == CallTail::State::kNext) {
    // From what parts the calls on, it is content should no call follow.
    const bool marked = !row_.json && !row_.in_array;
    Drop(held_.size() - (marked ? format_.call_open.size() : 1));
    EnterHeader(0, /*further=*/true);
    return;
  }
  const std::string rest = held_.substr(tail.end);
  const std::vector<bool> control(held_control_.begin() + static_cast<ptrdiff_t>(tail.end),
                                  held_control_.end());
  EnterText();
  for (size_t i = 0; i < rest.size(); ++i) Add(rest[i], control[i], content, calls);
}

void ToolCallParser::EnterText() {
  state_ = State::kText;
  Drop(held_.size());
  markers_.emplace(opens_);
  settled_space_ = 0;
  skips_space_ = calls_ > 0;
}

void ToolCallParser::EnterHeader(size_t begin, bool further) {
  state_ = State::kHeader;
  header_begin_ = begin;
  further_ = further;
}

void ToolCallParser::EnterTail(bool in_object) {
  state_ = one_call_ ? State::kEnded : State::kTail;
  Drop(held_.size());
  in_object_ = in_object;
}

void ToolCallParser::Tell(std::string name, std::string arguments,
                          std::vector<ToolCallDelta>& calls) {
  calls.push_back({.index = calls_++, .name = std::move(name), .arguments = std::move(arguments)});
  Drop(held_.size());
}

void ToolCallParser::GiveBack(std::string& content, std::vector<ToolCallDelta>& calls) {
  const char last = held_.back();
  const bool control = held_control_.back();
  Emit(held_.size() - 1, content);
  EnterText();
  skips_space_ = false;
  AddText(last, control, content, calls);
}

bool ToolCallParser::IsAllowed(const std::string& name) const {
  return !row_.bare || std::find(tools_.begin(), tools_.end(), name) != tools_.end();
}

void ToolCallParser::Hold(char byte, bool control) {
  held_ += byte;
  held_control_.push_back(control);
}

void ToolCallParser::Emit(size_t count, std::string& content) {
  for (size_t i = 0; i < count; ++i) {
    if (!held_control_[i]) content += held_[i];
  }
  Drop(count);
}

void ToolCallParser::Drop(size_t count) {
  held_.erase(0, count);
  held_control_.erase(held_control_.begin(), held_control_.begin() + static_cast<ptrdiff_t>(count));
  settled_space_ -= std::min(settled_space_, count);
}

bool ToolCallParser::IsSpaceAt(size_t at) const {
  return !held_control_[at] && std::string_view(" \n\t\r").find(held_[at]) != std::string::npos;
}

}  // namespace spillway
