#include "worker/text/added_tokens.h"

#include <algorithm>

#include "worker/text/unicode_properties.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

// The trie's tokens are indices of entries. From the last: of equal texts that one counts.
TokenTrie TrieOf(const std::vector<AddedTokens::Entry>& entries) {
  std::vector<std::pair<std::string_view, TokenId>> texts;
  for (size_t i = entries.size(); i-- > 0;) {
    if (!entries[i].text.empty()) texts.emplace_back(entries[i].text, static_cast<TokenId>(i));
  }
  return TokenTrie(std::move(texts));
}

// The character that ends at `end`, which is not 0.
Utf8Character LastCharacter(std::string_view text, size_t end) {
  for (size_t size = 1; size <= std::min<size_t>(end, 4); ++size) {
    const Utf8Character character = FirstUtf8Character(text.substr(end - size, size));
    if (character.kind == Utf8Character::Kind::kWhole &&
        static_cast<size_t>(character.size) == size) {
      return character;
    }
  }
  return {};
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<Entry>& entries)
    : trie_(TrieOf(entries)), spaces_(UnicodeWhiteSpace()), word_(UnicodeRustWord()) {
  for (const Entry& entry : entries) {
    flags_.push_back(entry.flags);
    needs_trust_.push_back(entry.needs_trust);
    any_needs_trust_ |= entry.needs_trust;
  }
}

AddedTokens::Match AddedTokens::LongestAt(std::string_view text,
                                          const std::vector<uint32_t>& labels, size_t at) const {
  Match longest;
  size_t trusted = at;  // up to here the label is that of `at`, which is not 0
  trie_.ForEachPrefix(text.substr(at), [&](TokenId entry, size_t size) {
    if (needs_trust_[entry]) {
      if (labels.empty() || labels[at] == 0) return;
      while (trusted < at + size && labels[trusted] == labels[at]) ++trusted;
      if (trusted < at + size) return;
    }
    longest = {size, static_cast<size_t>(entry)};
  });
  return longest;
}

bool AddedTokens::IsInsideWord(std::string_view text, size_t begin, size_t end) const {
  const auto is_word = [&](const Utf8Character& character) {
    return character.kind == Utf8Character::Kind::kWhole && word_.Has(character.code_point);
  };
  return (begin > 0 && is_word(LastCharacter(text, begin))) ||
         (end < text.size() && is_word(FirstUtf8Character(text.substr(end))));
}

size_t AddedTokens::SpacesBefore(std::string_view text, size_t end, size_t low) const {
  while (end > low) {
    const Utf8Character character = LastCharacter(text, end);
    if (character.kind != Utf8Character::Kind::kWhole || !spaces_.Has(character.code_point)) break;
    end -= static_cast<size_t>(character.size);
  }
  return std::max(end, low);
}

size_t AddedTokens::SpacesAfter(std::string_view text, size_t begin) const {
  while (begin < text.size()) {
    const Utf8Character character = FirstUtf8Character(text.substr(begin));
    if (character.kind != Utf8Character::Kind::kWhole || !spaces_.Has(character.code_point)) break;
    begin += static_cast<size_t>(character.size);
  }
  return begin;
}

std::vector<AddedTokens::Part> AddedTokens::Split(std::string_view text,
                                                  const std::vector<uint32_t>& labels) const {
  std::vector<Part> parts;
  size_t done = 0;
  for (size_t at = 0; !empty() && at < text.size();) {
    const Match match = LongestAt(text, labels, at);
    if (match.size == 0) {
      ++at;
      continue;
    }
    const AddedToken& flags = flags_[match.entry];
    size_t begin = at;
    size_t end = at + match.size;
    at = end;
    if (flags.single_word && IsInsideWord(text, begin, end)) continue;
    if (flags.lstrip) begin = SpacesBefore(text, begin, std::min(done, begin));
    if (flags.rstrip) end = SpacesAfter(text, end);
    if (done < begin) parts.push_back({done, begin});
    parts.push_back({begin, end, flags.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size()});
  return parts;
}

}  // namespace spillway
