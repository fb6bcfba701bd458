#include "worker/prompt_echo.h"

#include <algorithm>
#include <utility>

#include "worker/text/text_stream.h"

namespace spillway {
namespace {

bool IsInsideCharacter(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

}  // namespace

PromptEcho::PromptEcho(const Tokenizer& tokenizer, std::span<const TokenId> prompt,
                       std::string text)
    : text_(std::move(text)) {
  TextStream stream(tokenizer, {});
  OutputText output;
  std::string& decoded = output.content;
  begins_.reserve(prompt.size() + 1);
  for (const TokenId token : prompt) {
    begins_.push_back(static_cast<int64_t>(decoded.size()));
    stream.Append(token, output);
  }
  stream.Flush(output);
  if (text_.empty()) text_ = decoded;
  // SentencePiece puts a space before the first word.
  const auto added =
      decoded.ends_with(text_) ? static_cast<int64_t>(decoded.size() - text_.size()) : int64_t{0};
  const auto size = static_cast<int64_t>(text_.size());
  for (int64_t& begin : begins_) {
    begin = std::clamp<int64_t>(begin - added, 0, size);
    while (begin < size && IsInsideCharacter(text_[static_cast<size_t>(begin)])) --begin;
  }
  begins_.push_back(size);
}

}  // namespace spillway
