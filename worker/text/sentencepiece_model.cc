#include "worker/text/sentencepiece_model.h"

#include <algorithm>
#include <cstdint>
#include <queue>

#include "absl/strings/string_view.h"
#include "worker/text/utf8.h"

namespace spillway {

// A part of the piece; in a list of those that are left.
struct SentencePieceModel::Symbol {
  size_t begin = 0;
  size_t size = 0;  // 0: it was merged into the one before
  int64_t previous = -1;
  int64_t next = -1;
};

// Two symbols that may become one, as long as they are what they were.
struct SentencePieceModel::Merge {
  float score = 0;
  int64_t left = -1;
  int64_t right = -1;
  size_t size = 0;

  // The top of the queue comes first.
  bool operator<(const Merge& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

SentencePieceModel::SentencePieceModel(const TokenizerSpec& spec)
    : byte_tokens_(spec), unknown_(spec.unknown) {
  using Type = TokenizerSpec::TokenType;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& text = spec.tokens[id];
    // Byte tokens stand for bytes, not for the text <0x41>.
    if (!IsTextToken(spec.types[id]) || spec.types[id] == Type::kByte || text.empty()) continue;
    tokens_.insert_or_assign(text,
                             Token{static_cast<TokenId>(id), static_cast<float>(spec.scores[id])});
    token_bytes_max_ = std::max(token_bytes_max_, text.size());
  }
}

SentencePieceModel::Token SentencePieceModel::Find(std::string_view text) const {
  if (text.size() > token_bytes_max_) return {};
  const auto found = tokens_.find(absl::string_view(text.data(), text.size()));
  return found == tokens_.end() ? Token() : found->second;
}

void SentencePieceModel::Encode(std::string_view piece, std::vector<TokenId>& out) const {
  std::vector<Symbol> symbols;
  for (size_t at = 0; at < piece.size();) {
    const auto size = static_cast<size_t>(FirstUtf8Character(piece.substr(at)).size);
    const auto index = static_cast<int64_t>(symbols.size());
    symbols.push_back({at, size, index - 1, index + 1});
    at += size;
  }
  symbols.back().next = -1;
  std::priority_queue<Merge> queue;
  const auto consider = [&](int64_t left, int64_t right) {
    if (left < 0 || right < 0) return;
    const size_t size = symbols[left].size + symbols[right].size;
    const Token token = Find(piece.substr(symbols[left].begin, size));
    if (token.id >= 0) queue.push({token.score, left, right, size});
  };
  for (int64_t i = 0; i + 1 < std::ssize(symbols); ++i) consider(i, i + 1);
  while (!queue.empty()) {
    const Merge merge = queue.top();
    queue.pop();
    Symbol& left = symbols[merge.left];
    Symbol& right = symbols[merge.right];
    if (left.size == 0 || right.size == 0 || left.size + right.size != merge.size) continue;
    left.size += right.size;
    right.size = 0;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = merge.left;
    consider(left.previous, merge.left);
    consider(merge.left, left.next);
  }
  for (int64_t i = 0; i >= 0; i = symbols[i].next) {
    const std::string_view text = piece.substr(symbols[i].begin, symbols[i].size);
    if (const Token token = Find(text); token.id >= 0) {
      out.push_back(token.id);
    } else if (!byte_tokens_.Append(text, out) && unknown_ >= 0) {
      out.push_back(unknown_);
    }
  }
}

}  // namespace spillway
