#include "worker/text/text_stream.h"

#include <utility>

#include "common/check.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

std::vector<std::string> AsText(std::vector<std::string> strings) {
  for (std::string& string : strings) string = ReplaceBadUtf8(string);
  return strings;
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \n\t\r";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
                       OutputParser parser)
    : tokenizer_(tokenizer),
      stop_strings_(AsText(std::move(stop_strings))),
      matcher_(stop_strings_),
      parser_(std::move(parser)) {
  for (const std::string& stop : stop_strings_) {
    if (parser_.IsCloseMarker(Trimmed(stop))) reasoning_stop_ = stop;
  }
}

bool TextStream::Append(TokenId token, OutputText& out) {
  CHECK(matched_.empty());
  const bool stopped = Add(token, out);
  CountToken();
  return stopped;
}

bool TextStream::Add(TokenId token, OutputText& out) {
  if (tokenizer_.IsControl(token)) {
    if (!parser_.active()) return false;
    parser_.AppendControl(tokenizer_.TokenBytes(token), parsed_);
    return Deliver(out);
  }
  bytes_ += tokenizer_.TokenBytes(token);
  return Settle(/*at_end=*/false, out);
}

bool TextStream::Flush(OutputText& out) {
  CHECK(matched_.empty());
  bool stopped = Settle(/*at_end=*/true, out);
  if (!stopped) {
    parser_.Flush(parsed_);
    stopped = Deliver(out);
  }
  SettleCount();
  if (stopped) return true;
  out.content += pending_;
  pending_.clear();
  return false;
}

void TextStream::CountToken() {
  if (counted_) return;
  // One that ends in the middle of a character holds some of it.
  uncounted_.push_back(parser_.read_bytes() + (bytes_.empty() ? 0 : 1));
  SettleCount();
}

void TextStream::SettleCount() {
  const size_t content_begin = parser_.content_begin();
  // Nothing before the content is no reasoning: a model may begin with a token without text.
  while (content_begin > 0 && !uncounted_.empty() && uncounted_.front() <= content_begin) {
    uncounted_.pop_front();
    ++reasoning_tokens_;
  }
  if (!parser_.content_begun()) return;
  counted_ = true;
  uncounted_.clear();
}

bool TextStream::Settle(bool at_end, OutputText& out) {
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    const Utf8Character character = FirstUtf8Character(rest);
    if (character.kind == Utf8Character::Kind::kIncomplete && !at_end) break;
    const bool whole = character.kind == Utf8Character::Kind::kWhole;
    parser_.Append(whole ? rest.substr(0, character.size) : kReplacementCharacter, parsed_);
    rest.remove_prefix(character.size);
  }
  bytes_.erase(0, bytes_.size() - rest.size());
  return Deliver(out);
}

bool TextStream::Deliver(OutputText& out) {
  out.reasoning += parsed_.reasoning;
  parsed_.reasoning.clear();
  for (ToolCallDelta& call : parsed_.tool_calls) out.tool_calls.push_back(std::move(call));
  parsed_.tool_calls.clear();
  if (!reasoning_stop_.empty() && parser_.reasoning_closed()) {
    matched_ = reasoning_stop_;
    return true;
  }
  for (const char byte : parsed_.content) {
    pending_ += byte;
    // Stop strings are whole characters, so only a character's last byte completes one.
    if (const int stop = matcher_.Add(byte); stop >= 0) {
      matched_ = stop_strings_[stop];
      pending_.erase(pending_.size() - matched_.size());
      out.content += pending_;
      return true;
    }
  }
  parsed_.content.clear();
  if (parser_.ended()) {
    out.content += std::exchange(pending_, {});
    return true;
  }
  const size_t settled = pending_.size() - matcher_.open_bytes();
  out.content.append(pending_, 0, settled);
  pending_.erase(0, settled);
  return false;
}

}  // namespace spillway
