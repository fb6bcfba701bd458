#include "worker/text/unigram_model.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "worker/text/utf8.h"

namespace spillway {
namespace {

constexpr double kUnknownPenalty = 10;

TokenTrie TrieOf(const TokenizerSpec& spec) {
  std::vector<std::pair<std::string_view, TokenId>> texts;
  // From the last: of equal texts that one counts.
  for (size_t i = spec.tokens.size(); i-- > 0;) {
    const TokenizerSpec::TokenType type = spec.types[i];
    if (!IsTextToken(type) || type == TokenizerSpec::TokenType::kByte) continue;
    if (!spec.tokens[i].empty()) texts.emplace_back(spec.tokens[i], static_cast<TokenId>(i));
  }
  return TokenTrie(std::move(texts));
}

std::vector<double> ScoresOf(const TokenizerSpec& spec) {
  std::vector<double> scores = spec.scores;
  scores.resize(spec.tokens.size());
  return scores;
}

}  // namespace

UnigramModel::UnigramModel(const TokenizerSpec& spec)
    : lookup_(spec),
      byte_tokens_(spec),
      trie_(TrieOf(spec)),
      scores_(ScoresOf(spec)),
      unknown_(spec.unknown),
      byte_fallback_(spec.byte_fallback) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const double score : spec.scores) lowest = std::min(lowest, score);
  unknown_score_ = (spec.scores.empty() ? 0 : lowest) - kUnknownPenalty;
}

std::vector<UnigramModel::Best> UnigramModel::FindBest(std::string_view piece) const {
  std::vector<Best> best(piece.size() + 1);
  const auto offer = [&](size_t begin, size_t end, double score, TokenId token) {
    const double sum = best[begin].score + score;
    if (best[end].begin < 0 || sum > best[end].score) {
      best[end] = {sum, static_cast<int64_t>(begin), token};
    }
  };
  for (size_t at = 0; at < piece.size();) {
    const auto character = static_cast<size_t>(FirstUtf8Character(piece.substr(at)).size);
    bool is_known = false;
    trie_.ForEachPrefix(piece.substr(at), [&](TokenId token, size_t size) {
      offer(at, at + size, scores_[token], token);
      is_known |= size == character;
    });
    if (!is_known) offer(at, at + character, unknown_score_, -1);
    at += character;
  }
  return best;
}

void UnigramModel::Encode(std::string_view piece, std::vector<TokenId>& out) const {
  const std::vector<Best> best = FindBest(piece);
  std::vector<const Best*> path;  // backwards
  for (size_t end = piece.size(); end > 0; end = static_cast<size_t>(best[end].begin)) {
    path.push_back(&best[end]);
  }
  for (size_t i = path.size(); i > 0;) {
    const Best& token = *path[--i];
    if (token.token >= 0) {
      out.push_back(token.token);
      continue;
    }
    while (i > 0 && path[i - 1]->token < 0) --i;
    const auto begin = static_cast<size_t>(token.begin);
    const size_t end = i > 0 ? static_cast<size_t>(path[i - 1]->begin) : piece.size();
    AppendUnknown(piece.substr(begin, end - begin), out);
  }
}

void UnigramModel::AppendUnknown(std::string_view text, std::vector<TokenId>& out) const {
  if (const TokenId whole = lookup_.Find(text); whole >= 0) {
    out.push_back(whole);
  } else if (!(byte_fallback_ && byte_tokens_.Append(text, out)) && unknown_ >= 0) {
    out.push_back(unknown_);
  }
}

}  // namespace spillway
