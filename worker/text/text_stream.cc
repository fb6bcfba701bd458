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

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings)
    : tokenizer_(tokenizer),
      stop_strings_(AsText(std::move(stop_strings))),
      matcher_(stop_strings_) {}

bool TextStream::Append(TokenId token, std::string& out) {
  CHECK(matched_.empty());
  if (tokenizer_.IsControl(token)) return false;
  bytes_ += tokenizer_.TokenBytes(token);
  return Settle(/*at_end=*/false, out);
}

bool TextStream::Flush(std::string& out) {
  CHECK(matched_.empty());
  const bool stopped = Settle(/*at_end=*/true, out);
  if (!stopped) out += pending_;
  pending_.clear();
  return stopped;
}

bool TextStream::Settle(bool at_end, std::string& out) {
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    const Utf8Character character = FirstUtf8Character(rest);
    if (character.kind == Utf8Character::Kind::kIncomplete && !at_end) break;
    const bool whole = character.kind == Utf8Character::Kind::kWhole;
    if (AddCharacter(whole ? rest.substr(0, character.size) : kReplacementCharacter)) {
      out += pending_;
      pending_.clear();
      bytes_.clear();
      return true;
    }
    rest.remove_prefix(character.size);
  }
  bytes_.erase(0, bytes_.size() - rest.size());
  const size_t settled = pending_.size() - matcher_.open_bytes();
  out.append(pending_, 0, settled);
  pending_.erase(0, settled);
  return false;
}

bool TextStream::AddCharacter(std::string_view character) {
  pending_ += character;
  for (const char byte : character) {
    // Stop strings are whole characters, so only a character's last byte completes one.
    if (const int stop = matcher_.Add(byte); stop >= 0) {
      matched_ = stop_strings_[stop];
      pending_.erase(pending_.size() - matched_.size());
      return true;
    }
  }
  return false;
}

}  // namespace spillway
