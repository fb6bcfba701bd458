#include "worker/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/text/byte_alphabet.h"
#include "worker/text/byte_pair_merger.h"
#include "worker/text/pre_tokenizer.h"
#include "worker/text/token_trie.h"

namespace spillway {
namespace {

using TokenType = TokenizerSpec::TokenType;

// Keeps the search at one place of a text short, whatever a file says. Real ones are under 64.
constexpr size_t kSpecialBytesMax = 1024;

// <unk> is control too: its text is a name and no text.
bool IsControlType(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

absl::Status CheckId(TokenId id, const char* what, size_t size) {
  if (id >= -1 && id < static_cast<int64_t>(size)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer: ", what, " is ", id, ", the vocabulary has ", size, " tokens"));
}

absl::Status CheckSizesAndIds(const TokenizerSpec& spec) {
  const size_t size = spec.tokens.size();
  if (size == 0 || size > INT32_MAX) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: a vocabulary of ", size, " tokens"));
  }
  if (spec.types.size() != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: ", size, " tokens, but ", spec.types.size(), " token types"));
  }
  RETURN_IF_ERROR(CheckId(spec.bos, "the BOS id", size));
  RETURN_IF_ERROR(CheckId(spec.eos, "the EOS id", size));
  for (const TokenId id : spec.end_of_text) {
    if (id < 0) return absl::InvalidArgumentError("tokenizer: an end-of-text id is negative");
    RETURN_IF_ERROR(CheckId(id, "an end-of-text id", size));
  }
  return absl::OkStatus();
}

}  // namespace

class Tokenizer::Impl {
 public:
  absl::Status Load(TokenizerSpec spec) {
    RETURN_IF_ERROR(CheckSizesAndIds(spec));
    if (spec.kind != TokenizerSpec::Kind::kByteLevelBpe || spec.pre_tokenizer.empty()) {
      return absl::UnimplementedError(
          "tokenizer: this build runs byte-level BPE of the known families only");
    }
    ASSIGN_OR_RETURN(pre_tokenizer_, PreTokenizer::Create(spec.pre_tokenizer));
    bos_ = spec.bos;
    eos_ = spec.eos;
    add_bos_ = spec.add_bos;
    end_of_text_ = std::move(spec.end_of_text);
    const ByteAlphabet alphabet;
    RETURN_IF_ERROR(LoadTokens(spec, alphabet));
    return LoadMerges(spec, alphabet);
  }

  std::vector<TokenId> Encode(std::string_view text, std::span<const TextRange> trusted) const {
    std::vector<TokenId> out;
    size_t plain_begin = 0;
    size_t range = 0;
    for (size_t at = 0; at < text.size();) {
      while (range < trusted.size() && trusted[range].end <= at) ++range;
      const bool inside = range < trusted.size() && trusted[range].begin <= at;
      const Special special = LongestSpecial(text.substr(at), inside ? trusted[range].end - at : 0);
      if (special.size == 0) {
        ++at;
        continue;
      }
      EncodePlain(text.substr(plain_begin, at - plain_begin), out);
      out.push_back(special.token);
      at += special.size;
      plain_begin = at;
    }
    EncodePlain(text.substr(plain_begin), out);
    return out;
  }

  const std::string& Bytes(TokenId token) const {
    CHECK(token >= 0 && token < size());
    return bytes_[token];
  }

  bool IsControl(TokenId token) const {
    CHECK(token >= 0 && token < size());
    return IsControlType(types_[token]);
  }

  int32_t size() const { return static_cast<int32_t>(bytes_.size()); }
  std::span<const TokenId> end_of_text() const { return end_of_text_; }
  TokenId bos() const { return bos_; }
  TokenId eos() const { return eos_; }
  bool add_bos() const { return add_bos_; }

 private:
  struct Special {
    TokenId token = -1;
    size_t size = 0;  // bytes; 0: none
  };

  // Of the special tokens that `text` begins with, the longest that is allowed. Control tokens
  // must end within the first `trusted_size` bytes.
  Special LongestSpecial(std::string_view text, size_t trusted_size) const {
    Special longest;
    specials_.ForEachPrefix(text, [&](TokenId token, size_t size) {
      if (size <= trusted_size || !IsControlType(types_[token])) longest = {token, size};
    });
    return longest;
  }

  void EncodePlain(std::string_view text, std::vector<TokenId>& out) const {
    if (text.empty()) return;
    std::vector<std::string_view> pieces;
    pre_tokenizer_->Split(text, pieces);
    std::vector<TokenId> tokens;
    for (const std::string_view piece : pieces) {
      if (pre_tokenizer_->whole_pieces_first()) {
        if (const auto whole = ids_by_bytes_.find(std::string(piece));
            whole != ids_by_bytes_.end()) {
          out.push_back(whole->second);
          continue;
        }
      }
      tokens.clear();
      for (const char byte : piece) {
        const TokenId token = byte_tokens_[static_cast<unsigned char>(byte)];
        if (token >= 0) tokens.push_back(token);
      }
      merger_.Merge(tokens);
      out.insert(out.end(), tokens.begin(), tokens.end());
    }
  }

  absl::Status LoadTokens(const TokenizerSpec& spec, const ByteAlphabet& alphabet) {
    types_ = spec.types;
    bytes_.reserve(spec.tokens.size());
    for (TokenId id = 0; id < static_cast<TokenId>(spec.tokens.size()); ++id) {
      const std::string& text = spec.tokens[id];
      const bool plain = types_[id] == TokenType::kNormal || types_[id] == TokenType::kByte;
      const bool special = types_[id] == TokenType::kUserDefined || IsControlType(types_[id]);
      if (special && text.size() > kSpecialBytesMax) {
        return absl::InvalidArgumentError(absl::StrCat("tokenizer: special token ", id, " has ",
                                                       text.size(), " bytes, the limit is ",
                                                       kSpecialBytesMax));
      }
      if (special && !text.empty()) specials_.Add(text, id);
      // A normal token with characters outside the alphabet stands for itself, as in tokenizers.
      bytes_.push_back(plain ? alphabet.Decode(text).value_or(text) : text);
      if (plain) ids_by_bytes_.try_emplace(bytes_.back(), id);
    }
    return absl::OkStatus();
  }

  absl::Status LoadMerges(const TokenizerSpec& spec, const ByteAlphabet& alphabet) {
    absl::flat_hash_map<std::string, TokenId> ids;  // by text, as the merges have it
    for (TokenId id = 0; id < size(); ++id) ids.try_emplace(spec.tokens[id], id);
    for (int byte = 0; byte < 256; ++byte) {
      const auto id = ids.find(alphabet.CharacterOf(static_cast<unsigned char>(byte)));
      byte_tokens_[byte] = id == ids.end() ? -1 : id->second;
    }
    for (const MergeRule& merge : spec.merges) {
      for (const TokenId id : {merge.left, merge.right, merge.merged}) {
        if (id < 0) return absl::InvalidArgumentError("tokenizer: a merge's id is negative");
        RETURN_IF_ERROR(CheckId(id, "a merge's id", spec.tokens.size()));
      }
      merger_.Add(merge.left, merge.right, merge.merged);
    }
    return absl::OkStatus();
  }

  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  BytePairMerger merger_;
  TokenTrie specials_;  // control, unknown and user-defined tokens
  std::vector<std::string> bytes_;
  std::vector<TokenType> types_;
  absl::flat_hash_map<std::string, TokenId> ids_by_bytes_;  // of plain tokens
  std::array<TokenId, 256> byte_tokens_{};                  // -1: the vocabulary lacks that byte
  std::vector<TokenId> end_of_text_;
  TokenId bos_ = -1;
  TokenId eos_ = -1;
  bool add_bos_ = false;
};

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(TokenizerSpec spec) {
  auto impl = std::make_unique<Impl>();
  RETURN_IF_ERROR(impl->Load(std::move(spec)));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::Encode(std::string_view text,
                                       std::span<const TextRange> trusted) const {
  return impl_->Encode(text, trusted);
}

std::string_view Tokenizer::TokenBytes(TokenId token) const { return impl_->Bytes(token); }
bool Tokenizer::IsControl(TokenId token) const { return impl_->IsControl(token); }
bool Tokenizer::IsEndOfText(TokenId token) const {
  const auto all = impl_->end_of_text();
  return std::find(all.begin(), all.end(), token) != all.end();
}
std::span<const TokenId> Tokenizer::end_of_text() const { return impl_->end_of_text(); }
TokenId Tokenizer::bos() const { return impl_->bos(); }
TokenId Tokenizer::eos() const { return impl_->eos(); }
bool Tokenizer::add_bos() const { return impl_->add_bos(); }
int32_t Tokenizer::vocabulary_size() const { return impl_->size(); }

}  // namespace spillway
