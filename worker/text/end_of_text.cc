#include "worker/text/end_of_text.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace spillway {
namespace {

// Of the models that llama.cpp knows (llama-vocab.cpp, special_eog_ids).
constexpr std::array<std::string_view, 23> kMarkers = {
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<eos>",
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",
    "<|end_of_text|>",
    "</s>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "[e~[",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "<|END_OF_TURN_TOKEN|>",
};

}  // namespace

void AddKnownEndOfText(TokenizerSpec& spec) {
  if (spec.eos >= 0) spec.end_of_text.push_back(spec.eos);
  bool has_call = false;
  bool has_return = false;
  TokenId end = -1;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const std::string_view text = spec.tokens[i];
    if (spec.types[i] != TokenizerSpec::TokenType::kControl ||
        std::find(kMarkers.begin(), kMarkers.end(), text) == kMarkers.end()) {
      continue;
    }
    const auto id = static_cast<TokenId>(i);
    spec.end_of_text.push_back(id);
    has_call |= text == "<|call|>" || text == "<|calls|>";
    has_return |= text == "<|return|>" || text == "<|flush|>";
    if (text == "<|end|>") end = id;
  }
  // In the harmony format <|end|> ends a message, and an answer is several of them.
  if (has_call && has_return && end != spec.eos) std::erase(spec.end_of_text, end);
  std::sort(spec.end_of_text.begin(), spec.end_of_text.end());
  const auto repeated = std::unique(spec.end_of_text.begin(), spec.end_of_text.end());
  spec.end_of_text.erase(repeated, spec.end_of_text.end());
}

}  // namespace spillway
