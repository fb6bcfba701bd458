#include "worker/text/word_piece_model.h"

#include <string>
#include <utility>

#include "worker/text/token_lookup.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

// Of the tokens that begin with `prefix`, without it.
TokenTrie TrieOf(const TokenizerSpec& spec, std::string_view prefix) {
  std::vector<std::pair<std::string_view, TokenId>> texts;
  for (size_t i = spec.tokens.size(); i-- > 0;) {
    const std::string_view text = spec.tokens[i];
    if (!IsTextToken(spec.types[i]) || !text.starts_with(prefix) || text.size() == prefix.size()) {
      continue;
    }
    texts.emplace_back(text.substr(prefix.size()), static_cast<TokenId>(i));
  }
  return TokenTrie(std::move(texts));
}

bool HasMoreCharacters(std::string_view text, size_t count_max) {
  for (size_t count = 0; !text.empty(); ++count) {
    if (count == count_max) return true;
    text.remove_prefix(static_cast<size_t>(FirstUtf8Character(text).size));
  }
  return false;
}

}  // namespace

WordPieceModel::WordPieceModel(const TokenizerSpec& spec)
    : first_(TrieOf(spec, "")),
      continuing_(TrieOf(spec, spec.continuing_prefix)),
      unknown_(spec.unknown),
      word_characters_max_(spec.word_characters_max) {}

void WordPieceModel::Encode(std::string_view piece, std::vector<TokenId>& out) const {
  const size_t before = out.size();
  bool is_known = !HasMoreCharacters(piece, word_characters_max_);
  const TokenTrie* trie = &first_;
  for (std::string_view rest = piece; is_known && !rest.empty(); trie = &continuing_) {
    size_t size = 0;
    trie->ForEachPrefix(rest, [&](TokenId token, size_t token_size) {
      if (size == 0) out.push_back(token);
      out.back() = token;
      size = token_size;
    });
    is_known = size > 0;
    rest.remove_prefix(size);
  }
  if (is_known) return;
  out.resize(before);
  if (unknown_ >= 0) out.push_back(unknown_);
}

}  // namespace spillway
