#include "worker/text/end_of_text.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace spillway {
namespace {

constexpr std::string_view kEnd = "<|end|>";

// Of the models that llama.cpp knows (llama-vocab.cpp, special_eog_ids).
constexpr std::array<std::string_view, 23> kMarkers = {
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    kEnd,
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
  absl::flat_hash_map<std::string_view, TokenId> control;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (spec.types[i] != TokenizerSpec::TokenType::kControl) continue;
    control.insert_or_assign(spec.tokens[i], static_cast<TokenId>(i));
  }
  for (const std::string_view marker : kMarkers) {
    const auto found = control.find(marker);
    if (found != control.end()) spec.end_of_text.push_back(found->second);
  }
  // In the harmony format <|end|> ends a message, and an answer is several of them.
  const auto has = [&](std::string_view text) { return control.contains(text); };
  const bool is_harmony =
      ((has("<|call|>") || has("<|calls|>")) && (has("<|return|>") || has("<|flush|>"))) ||
      (has("<|channel|>") && has("<|message|>"));
  const auto end = control.find(kEnd);
  if (is_harmony && end != control.end() && end->second != spec.eos) {
    std::erase(spec.end_of_text, end->second);
  }
  std::sort(spec.end_of_text.begin(), spec.end_of_text.end());
  const auto repeated = std::unique(spec.end_of_text.begin(), spec.end_of_text.end());
  spec.end_of_text.erase(repeated, spec.end_of_text.end());
}

}  // namespace spillway
