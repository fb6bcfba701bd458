#include "worker/text/output_parser.h"

#include <algorithm>
#include <utility>

namespace spillway {
namespace {

std::vector<std::string> Used(const ReasoningFormat::Markers& markers) {
  std::vector<std::string> used;
  for (const std::string_view marker : markers) {
    if (!marker.empty()) used.emplace_back(marker);
  }
  return used;
}

}  // namespace

OutputParser::OutputParser(const ReasoningStart& start, const ToolCallStart& tools)
    : format_(start.format) {
  if (tools.format != nullptr) tools_.emplace(tools);
  Enter(format_ == nullptr ? State::kAnswer
                           : (start.open ? State::kReasoningStart : State::kStart));
}

void OutputParser::Append(std::string_view text, OutputText& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (state_ == State::kAnswer) {  // Nothing is looked for any more.
      return AddAnswer(text.substr(i), /*control=*/false, out);
    }
    ++read_bytes_;
    Add(text[i], /*control=*/false, out);
  }
}

void OutputParser::AppendControl(std::string_view text, OutputText& out) {
  // One that is no marker's is as if it weren't there.
  if (is_anchored() && !MayContinue(text)) {
    if (in_reasoning() || !tools_.has_value() || !tools_->IsPartOfMarker(text)) return;
    EnterText(out);
  }
  if (state_ == State::kAnswer) {
    if (tools_.has_value() && tools_->IsPartOfMarker(text)) AddAnswer(text, /*control=*/true, out);
    return;
  }
  for (const char byte : text) {
    ++read_bytes_;
    Add(byte, /*control=*/true, out);
  }
}

void OutputParser::Flush(OutputText& out) {
  if (is_anchored()) EnterText(out);
  size_t text = held_.size();
  while (state_ == State::kReasoning && text > 0 && IsSpaceAt(text - 1)) --text;
  Emit(text, out);
  Drop(held_.size());
  if (tools_.has_value()) tools_->Flush(out.content);
}

bool OutputParser::IsCloseMarker(std::string_view text) const {
  if (format_ == nullptr || text.empty()) return false;
  const auto& closes = format_->closes;
  return std::find(closes.begin(), closes.end(), text) != closes.end();
}

size_t OutputParser::content_begin() const {
  return content_begin_.value_or(read_bytes_ - held_.size());
}

size_t OutputParser::held_content_bytes() const {
  if (in_reasoning()) return 0;
  const size_t in_tools = tools_.has_value() ? tools_->held_content_bytes() : 0;
  return in_tools +
         static_cast<size_t>(std::count(held_control_.begin(), held_control_.end(), false));
}

bool OutputParser::IsSpaceAt(size_t at) const {
  return !held_control_[at] && std::string_view(" \n\t\r").find(held_[at]) != std::string::npos;
}

void OutputParser::Add(char byte, bool control, OutputText& out) {
  if (state_ == State::kAnswer) {
    return AddAnswer({&byte, 1}, control, out);
  }
  held_ += byte;
  held_control_.push_back(control);
  is_anchored() ? Decide(out) : Search(out);
}

void OutputParser::Decide(OutputText& out) {
  if (held_space_ + 1 == held_.size() && IsSpaceAt(held_space_)) {
    ++held_space_;
    if (state_ != State::kStart) Drop(held_.size());
    return;
  }
  const std::string_view rest = std::string_view(held_).substr(held_space_);
  bool may_become = false;
  for (const auto& [marker, next] : Choices()) {
    if (rest == marker) {
      Drop(held_.size());
      return Enter(next);
    }
    may_become |= marker.starts_with(rest);
  }
  if (may_become) return;
  EnterText(out);
}

void OutputParser::EnterText(OutputText& out) {
  if (!in_reasoning()) BeginContent();
  const std::string text = std::exchange(held_, {});
  const std::vector<bool> control = std::exchange(held_control_, {});
  Enter(state_ == State::kReasoningStart ? State::kReasoning : State::kAnswer);
  for (size_t i = 0; i < text.size(); ++i) Add(text[i], control[i], out);
}

void OutputParser::Search(OutputText& out) {
  if (skips_space_ && IsSpaceAt(0)) return Drop(1);
  skips_space_ = false;
  if (const int found = closes_->Add(held_.back()); found >= 0) {
    const bool closes_reasoning = state_ == State::kReasoning;
    const auto& markers = closes_reasoning ? format_->closes : format_->answer_closes;
    size_t text = held_.size() - markers[static_cast<size_t>(found)].size();
    while (text > 0 && IsSpaceAt(text - 1)) --text;
    Emit(text, out);
    Drop(held_.size());
    reasoning_closed_ |= closes_reasoning;
    return Enter(closes_reasoning ? State::kAnswerStart : State::kAnswer);
  }
  // Text is settled when it is no longer the start of a marker; whitespace, by text behind it.
  const size_t settled = held_.size() - closes_->open_bytes();
  size_t text = settled;
  while (text > held_space_ && IsSpaceAt(text - 1)) --text;
  const bool only_space = text == held_space_;
  if (!only_space) Emit(text, out);
  held_space_ = only_space ? settled : settled - text;
}

void OutputParser::Enter(State state) {
  state_ = state;
  held_space_ = 0;
  skips_space_ = state == State::kWrappedAnswer;
  if (state == State::kAnswer) BeginContent();
  if (state == State::kReasoning) closes_.emplace(Used(format_->closes));
  if (state == State::kWrappedAnswer) closes_.emplace(Used(format_->answer_closes));
}

std::vector<OutputParser::Choice> OutputParser::Choices() const {
  std::vector<Choice> choices;
  const auto add = [&choices](const ReasoningFormat::Markers& markers, State next) {
    for (const std::string_view marker : markers) {
      if (!marker.empty()) choices.push_back({marker, next});
    }
  };
  if (state_ != State::kAnswerStart) add(format_->opens, State::kReasoningStart);
  if (state_ != State::kReasoningStart) {
    const bool wrapped = !format_->answer_closes[0].empty();
    add(format_->answer_opens, wrapped ? State::kWrappedAnswer : State::kAnswer);
  }
  return choices;
}

bool OutputParser::MayContinue(std::string_view text) const {
  const std::string rest = held_.substr(held_space_) + std::string(text);
  const std::vector<Choice> choices = Choices();
  return std::any_of(choices.begin(), choices.end(),
                     [&](const Choice& choice) { return choice.marker.starts_with(rest); });
}

void OutputParser::AddAnswer(std::string_view text, bool control, OutputText& out) {
  if (!tools_.has_value()) {
    if (!control) out.content += text;
    return;
  }
  for (const char byte : text) tools_->Add(byte, control, out.content, out.tool_calls);
}

void OutputParser::BeginContent() {
  if (!content_begin_.has_value()) content_begin_ = read_bytes_ - held_.size();
}

void OutputParser::Emit(size_t count, OutputText& out) {
  if (!in_reasoning() && count > 0) BeginContent();
  for (size_t i = 0; i < count; ++i) {
    if (!in_reasoning()) {
      AddAnswer({&held_[i], 1}, held_control_[i], out);
    } else if (!held_control_[i]) {
      out.reasoning += held_[i];
    }
  }
  Drop(count);
}

void OutputParser::Drop(size_t count) {
  held_.erase(0, count);
  held_control_.erase(held_control_.begin(), held_control_.begin() + static_cast<ptrdiff_t>(count));
  held_space_ -= std::min(held_space_, count);
}

}  // namespace spillway
