#include "worker/text/byte_pair_model.h"

#include <optional>
#include <utility>

#include "absl/strings/string_view.h"
#include "worker/text/byte_alphabet.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

// Merges that would make a control token of text are left out.
BytePairMerger MergerOf(const TokenizerSpec& spec) {
  BytePairMerger merger;
  for (const MergeRule& rule : spec.merges) {
    if (IsTextToken(spec.types[rule.merged])) merger.Add(rule.left, rule.right, rule.merged);
  }
  return merger;
}

}  // namespace

ByteLevelModel::ByteLevelModel(const TokenizerSpec& spec)
    : unknown_(spec.unknown), fuse_unknown_(spec.fuse_unknown), merger_(MergerOf(spec)) {
  const ByteAlphabet alphabet;
  byte_tokens_.fill(-1);
  absl::flat_hash_map<std::string, int> bytes;
  for (int byte = 0; byte < 256; ++byte) {
    bytes.emplace(alphabet.CharacterOf(static_cast<unsigned char>(byte)), byte);
  }
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (!IsTextToken(spec.types[i])) continue;
    const auto id = static_cast<TokenId>(i);
    if (const auto byte = bytes.find(spec.tokens[i]); byte != bytes.end()) {
      byte_tokens_[byte->second] = id;
    }
    if (!spec.ignore_merges) continue;
    std::optional<std::string> text = alphabet.Decode(spec.tokens[i]);
    if (text && !text->empty()) by_bytes_.insert_or_assign(*std::move(text), id);
  }
}

void ByteLevelModel::Encode(std::string_view piece, std::vector<TokenId>& out) const {
  if (!by_bytes_.empty()) {
    const auto whole = by_bytes_.find(absl::string_view(piece.data(), piece.size()));
    if (whole != by_bytes_.end()) {
      out.push_back(whole->second);
      return;
    }
  }
  std::vector<TokenId> tokens;
  tokens.reserve(piece.size());
  bool after_unknown = false;
  for (const char byte : piece) {
    const TokenId token = byte_tokens_[static_cast<unsigned char>(byte)];
    if (token >= 0) {
      tokens.push_back(token);
    } else if (unknown_ >= 0 && !(fuse_unknown_ && after_unknown)) {
      tokens.push_back(unknown_);
    }
    after_unknown = token < 0;
  }
  merger_.Merge(tokens);
  out.insert(out.end(), tokens.begin(), tokens.end());
}

CharacterPairModel::CharacterPairModel(const TokenizerSpec& spec)
    : lookup_(spec),
      byte_tokens_(spec),
      continuing_prefix_(spec.continuing_prefix),
      word_suffix_(spec.word_suffix),
      has_affixes_(!continuing_prefix_.empty() || !word_suffix_.empty()),
      unknown_(spec.unknown),
      fuse_unknown_(spec.fuse_unknown),
      byte_fallback_(spec.byte_fallback),
      ignore_merges_(spec.ignore_merges),
      merger_(MergerOf(spec)) {}

// tokenizers' BPE::merge_word.
void CharacterPairModel::Encode(std::string_view piece, std::vector<TokenId>& out) const {
  if (ignore_merges_) {
    if (const TokenId whole = lookup_.Find(piece); whole >= 0) {
      out.push_back(whole);
      return;
    }
  }
  std::vector<TokenId> tokens;
  bool unknown_is_open = false;  // one is still to be added; what falls back to bytes overtakes it
  const auto close_unknown = [&] {
    if (unknown_is_open && unknown_ >= 0) tokens.push_back(unknown_);
    unknown_is_open = false;
  };
  std::string affixed;
  for (size_t at = 0; at < piece.size();) {
    const auto size = static_cast<size_t>(FirstUtf8Character(piece.substr(at)).size);
    std::string_view character = piece.substr(at, size);
    if (has_affixes_) {
      affixed = at == 0 ? "" : continuing_prefix_;
      affixed += character;
      if (at + size == piece.size()) affixed += word_suffix_;
      character = affixed;
    }
    at += size;
    if (const TokenId token = lookup_.Find(character); token >= 0) {
      close_unknown();
      tokens.push_back(token);
    } else if (!byte_fallback_ || !byte_tokens_.Append(character, tokens)) {
      if (!fuse_unknown_) close_unknown();
      unknown_is_open = true;
    }
  }
  close_unknown();
  merger_.Merge(tokens);
  out.insert(out.end(), tokens.begin(), tokens.end());
}

}  // namespace spillway
