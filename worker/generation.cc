#include "worker/generation.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "worker/grammar_mask.h"

namespace spillway {
namespace {

// Takes from what is new in `text` what the client has: `told` bytes of the whole channel, of which
// `bytes` came before. Counts what is new.
void DropWhatIsTold(size_t new_from, int64_t told, int64_t& bytes, std::string& text) {
  const auto added = static_cast<int64_t>(text.size() - new_from);
  text.erase(new_from, static_cast<size_t>(std::clamp<int64_t>(told - bytes, 0, added)));
  bytes += added;
}

}  // namespace

Generation::Generation(EngineRequest request, const Tokenizer& tokenizer)
    : request_(std::move(request)),
      tokenizer_(tokenizer),
      text_(tokenizer, request_.stop_strings, OutputParser(request_.reasoning, request_.tools)) {
  CHECK(!request_.prompt.empty());
  CHECK(request_.new_tokens_max > 0);
  tokens_.reserve(request_.prompt.size() +
                  std::max(request_.resumed.size(), static_cast<size_t>(request_.new_tokens_max)));
  tokens_ = request_.prompt;
  ends_ = request_.stop_tokens;
  if (!request_.ignore_end_of_text || request_.grammar != nullptr) {
    ends_.insert(ends_.end(), tokenizer.end_of_text().begin(), tokenizer.end_of_text().end());
  }
  if (request_.grammar != nullptr) {
    mask_ = std::make_unique<GrammarMask>(request_.grammar, tokenizer, request_.reasoning, ends_);
  }
  if (request_.echo) echo_.emplace(tokenizer, request_.prompt, request_.prompt_text);
  // Nothing can be said of the first token, so there is nothing to compute for it.
  scored_ = std::clamp(request_.resumed_logprobs, 1, prompt_tokens());
}

std::optional<EndReason> Generation::Replay() {
  if (!request_.resumed.empty()) TakeEcho(prompt_tokens(), text_at_start.content);
  std::optional<EndReason> end;
  for (size_t i = 0; i < request_.resumed.size() && !end.has_value(); ++i) {
    end = OnToken(request_.resumed[i], text_at_start);
  }
  return end;
}

void Generation::TakeEcho(int32_t tokens, std::string& content) {
  if (!echo_.has_value()) return;
  const size_t before = content.size();
  const int64_t end = std::max(echo_->BeginOf(tokens), echo_taken_);
  content.append(echo_->text(), static_cast<size_t>(echo_taken_),
                 static_cast<size_t>(end - echo_taken_));
  echo_taken_ = end;
  DropWhatIsTold(before, request_.resumed_content_bytes, content_bytes_, content);
}

Generation::ScoreRange Generation::TakeScores(int32_t slice_begin, int32_t slice_count) {
  if (!scores_prompt()) return {};
  const int32_t begin = std::max(scored_, slice_begin + 1);
  const int32_t end = std::min(slice_begin + slice_count + 1, prompt_tokens());
  if (begin >= end) return {};
  scored_ = end;
  return {begin, end};
}

int64_t Generation::EchoBeginOf(int32_t index) const {
  return echo_.has_value() ? echo_->BeginOf(index) : 0;
}

std::optional<EndReason> Generation::OnToken(TokenId token, OutputText& text) {
  const size_t reasoning_before = text.reasoning.size();
  const size_t content_before = text.content.size();
  const size_t calls_before = text.tool_calls.size();
  const std::optional<EndReason> end = AddToken(token, text);
  DropWhatIsTold(reasoning_before, request_.resumed_reasoning_bytes, reasoning_bytes_,
                 text.reasoning);
  DropWhatIsTold(content_before, request_.resumed_content_bytes, content_bytes_, text.content);
  DropCallsThatAreTold(text.tool_calls, calls_before);
  return end;
}

void Generation::DropCallsThatAreTold(std::vector<ToolCallDelta>& calls, size_t new_from) {
  for (size_t i = new_from; i < calls.size(); ++i) {
    ToolCallDelta& call = calls[i];
    if (!call.name.empty() && tool_calls_++ < request_.resumed_tool_calls) call.name.clear();
    DropWhatIsTold(0, request_.resumed_tool_argument_bytes, tool_argument_bytes_, call.arguments);
  }
  std::erase_if(
      calls, [](const ToolCallDelta& call) { return call.name.empty() && call.arguments.empty(); });
}

std::optional<EndReason> Generation::AddToken(TokenId token, OutputText& text) {
  CHECK(tokens_.size() < tokens_.capacity());
  tokens_.push_back(token);
  if (EndsText(token)) {
    text_.Skip();
    text_.Flush(text);
    return EndReason::kStop;
  }
  if (text_.Append(token, text)) return EndReason::kStop;
  if (output_tokens() < request_.new_tokens_max) return std::nullopt;
  // What was held back may turn out to complete a stop string.
  return text_.Flush(text) ? EndReason::kStop : EndReason::kLength;
}

bool Generation::EndsText(TokenId token) const {
  return std::ranges::find(ends_, token) != ends_.end();
}

bool Generation::IsSilent(TokenId token) const {
  return tokenizer_.IsControl(token) || EndsText(token);
}

std::span<const TokenId> Generation::BannedAt(int32_t output_index) const {
  if (output_index >= request_.new_tokens_min || mask_ != nullptr) return {};
  return ends_;
}

}  // namespace spillway
