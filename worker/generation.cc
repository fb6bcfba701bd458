#include "worker/generation.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace spillway {

Generation::Generation(EngineRequest request, const Tokenizer& tokenizer)
    : request_(std::move(request)), tokenizer_(tokenizer), text_(tokenizer, request_.stop_strings) {
  CHECK(!request_.prompt.empty());
  CHECK(request_.new_tokens_max > 0);
  tokens_.reserve(request_.prompt.size() +
                  std::max(request_.resumed.size(), static_cast<size_t>(request_.new_tokens_max)));
  tokens_ = request_.prompt;
}

std::optional<EndReason> Generation::Replay(std::string& content) {
  std::string replayed;
  std::optional<EndReason> end;
  for (size_t i = 0; i < request_.resumed.size() && !end.has_value(); ++i) {
    end = OnToken(request_.resumed[i], replayed);
  }
  const size_t sent =
      std::min(replayed.size(), static_cast<size_t>(request_.resumed_content_bytes));
  content.append(replayed, sent, std::string::npos);
  return end;
}

std::optional<EndReason> Generation::OnToken(TokenId token, std::string& content) {
  const size_t before = content.size();
  const std::optional<EndReason> end = AddToken(token, content);
  content_bytes_ += static_cast<int64_t>(content.size() - before);
  return end;
}

std::optional<EndReason> Generation::AddToken(TokenId token, std::string& content) {
  CHECK(tokens_.size() < tokens_.capacity());
  tokens_.push_back(token);
  const bool end_of_text = !request_.ignore_end_of_text && tokenizer_.IsEndOfText(token);
  if (end_of_text || std::ranges::find(request_.stop_tokens, token) != request_.stop_tokens.end()) {
    text_.Flush(content);
    return EndReason::kStop;
  }
  if (text_.Append(token, content)) return EndReason::kStop;
  if (output_tokens() < request_.new_tokens_max) return std::nullopt;
  // What was held back may turn out to complete a stop string.
  return text_.Flush(content) ? EndReason::kStop : EndReason::kLength;
}

std::span<const TokenId> Generation::BannedAt(int32_t output_index) const {
  if (output_index >= request_.new_tokens_min) return {};
  return tokenizer_.end_of_text();
}

}  // namespace spillway
