#include "worker/grammar_mask.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace spillway {
namespace {

constexpr int32_t kWordBits = 32;
// Tokens. Deep indentation takes one or two.
constexpr int32_t kBlankRunMax = 8;

TokenId OpeningToken(const Tokenizer& tokenizer, const ReasoningFormat* format) {
  if (format == nullptr) return -1;
  for (const std::string_view marker : format->opens) {
    if (marker.empty()) continue;
    const TextRange whole[] = {{0, marker.size()}};
    const std::vector<TokenId> tokens = tokenizer.Encode(marker, whole);
    if (tokens.size() == 1) return tokens.front();
  }
  return -1;
}

void Set(TokenId token, bool allowed, std::vector<int32_t>& mask) {
  auto& word = mask[static_cast<size_t>(token / kWordBits)];
  const auto bit = static_cast<int32_t>(1u << (token % kWordBits));
  word = allowed ? word | bit : word & ~bit;
}

}  // namespace

GrammarMask::GrammarMask(std::shared_ptr<const TokenGrammar> grammar, const Tokenizer& tokenizer,
                         const ReasoningStart& reasoning, std::vector<TokenId> ends)
    : tokenizer_(tokenizer),
      ends_(std::move(ends)),
      matcher_(std::move(grammar), ends_),
      parser_(reasoning),
      opens_reasoning_(OpeningToken(tokenizer, reasoning.format)),
      state_(reasoning.format == nullptr ? State::kContent
             : reasoning.open            ? State::kReasoning
                                         : State::kStart),
      mask_(static_cast<size_t>((tokenizer.vocabulary_size() + kWordBits - 1) / kWordBits)) {}

std::span<const int32_t> GrammarMask::Allowed(std::span<const TokenId> output, TokenId pending) {
  while (read_ < output.size()) Read(output[read_]);
  if (pending >= 0 && read_ == output.size()) Read(pending);
  switch (state_) {
    case State::kEnded:  // What is sampled behind the end is thrown away.
      return {};
    case State::kBroken:
      std::ranges::fill(mask_, 0);
      return mask_;
    case State::kReasoning:
      std::ranges::fill(mask_, -1);
      for (const TokenId end : ends_) Set(end, false, mask_);
      return mask_;
    case State::kStart:
    case State::kContent:
      matcher_.FillMask(mask_);
      if (blank_run_ >= kBlankRunMax) EndBlanks();
      if (state_ == State::kStart && opens_reasoning_ >= 0) Set(opens_reasoning_, true, mask_);
      return mask_;
  }
  return {};
}

void GrammarMask::Read(TokenId token) {
  ++read_;
  if (state_ == State::kStart) {
    state_ = token == opens_reasoning_ ? State::kReasoning : State::kContent;
  }
  if (state_ == State::kContent) return Accept(token);
  if (state_ != State::kReasoning) return;
  OutputText text;
  const std::string_view bytes = tokenizer_.TokenBytes(token);
  tokenizer_.IsControl(token) ? parser_.AppendControl(bytes, text) : parser_.Append(bytes, text);
  if (!parser_.reasoning_closed()) return;
  // What the token has behind the marker is content already.
  state_ = matcher_.AcceptText(text.content) ? State::kContent : State::kBroken;
}

bool GrammarMask::IsBlank(TokenId token) const {
  const std::string_view bytes = tokenizer_.TokenBytes(token);
  return !bytes.empty() && bytes.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

void GrammarMask::EndBlanks() {
  if (blanks_.empty()) {
    blanks_.resize(mask_.size());
    for (TokenId token = 0; token < tokenizer_.vocabulary_size(); ++token) {
      if (IsBlank(token)) Set(token, true, blanks_);
    }
  }
  int32_t left = 0;
  for (size_t i = 0; i < mask_.size(); ++i) left |= mask_[i] & ~blanks_[i];
  if (left == 0) return;
  for (size_t i = 0; i < mask_.size(); ++i) mask_[i] &= ~blanks_[i];
}

void GrammarMask::Accept(TokenId token) {
  blank_run_ = IsBlank(token) ? blank_run_ + 1 : 0;
  if (!matcher_.Accept(token)) {
    state_ = State::kBroken;
  } else if (matcher_.ended()) {
    state_ = State::kEnded;
  }
}

}  // namespace spillway
