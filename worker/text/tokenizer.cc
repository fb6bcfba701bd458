#include "worker/text/tokenizer.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/text/added_tokens.h"
#include "worker/text/labeled_text.h"
#include "worker/text/normalizer.h"
#include "worker/text/pre_tokenizer.h"
#include "worker/text/token_decoder.h"
#include "worker/text/token_model.h"
#include "worker/text/tokenizer_check.h"
#include "worker/text/tokenizer_family.h"

namespace spillway {
namespace {

using Kind = TokenizerSpec::Kind;
using TokenType = TokenizerSpec::TokenType;

// <unk> is control too: its text is a name and no text.
bool IsControlType(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

// Found in texts by itself, before the model sees them.
bool IsAddedType(TokenType type) { return type == TokenType::kUserDefined || IsControlType(type); }

std::vector<DecoderStep> DecodersOf(const TokenizerSpec& spec) {
  using Step = DecoderStep::Kind;
  if (!spec.decoders.empty()) return spec.decoders;
  switch (spec.kind) {
    case Kind::kByteLevelBpe:
      return {{.kind = Step::kByteLevel}};
    case Kind::kWordPiece:
      return {{.kind = Step::kWordPiece, .text = spec.continuing_prefix, .cleanup = true}};
    default:
      return {{.kind = Step::kReplace, .text = " ", .pattern = {.text = "\u2581"}},
              {.kind = Step::kByteFallback},
              {.kind = Step::kFuse}};
  }
}

// The label of each byte: 1 and up for the trusted ranges.
std::vector<uint32_t> LabelsOf(size_t size, std::span<const TextRange> trusted) {
  std::vector<uint32_t> labels;
  if (trusted.empty()) return labels;
  labels.resize(size);
  uint32_t label = 0;
  for (const TextRange& range : trusted) {
    ++label;
    const size_t begin = std::min(range.begin, size);
    const size_t end = std::min(std::max(range.end, begin), size);
    std::fill(labels.begin() + static_cast<ptrdiff_t>(begin),
              labels.begin() + static_cast<ptrdiff_t>(end), label);
  }
  return labels;
}

}  // namespace

class Tokenizer::Impl {
 public:
  absl::Status Load(TokenizerSpec spec) {
    RETURN_IF_ERROR(CheckTokenizerSpec(spec));
    if (!spec.pre_tokenizer.empty()) RETURN_IF_ERROR(ApplyTokenizerFamily(spec));
    ASSIGN_OR_RETURN(normalizer_, Normalizer::Create(spec.normalizers));
    const bool maps_bytes = spec.kind != Kind::kByteLevelBpe;
    ASSIGN_OR_RETURN(pre_tokenizer_, PreTokenizer::Create(spec.pre_tokenizers, maps_bytes));
    ASSIGN_OR_RETURN(decoder_, TokenDecoder::Create(DecodersOf(spec)));
    ASSIGN_OR_RETURN(model_, MakeTokenModel(spec));
    LoadAddedTokens(spec);
    LoadTokens(spec);
    types_ = std::move(spec.types);
    bos_ = spec.bos;
    eos_ = spec.eos;
    add_bos_ = spec.add_bos;
    end_of_text_ = std::move(spec.end_of_text);
    prefix_ = std::move(spec.prefix);
    suffix_ = std::move(spec.suffix);
    return absl::OkStatus();
  }

  std::vector<TokenId> Encode(std::string_view text, std::span<const TextRange> trusted) const {
    std::vector<TokenId> out;
    const std::vector<uint32_t> labels = LabelsOf(text.size(), trusted);
    for (const AddedTokens::Part& part : added_->Split(text, labels)) {
      if (part.token >= 0) {
        out.push_back(part.token);
      } else {
        EncodePlain(text, labels, part, out);
      }
    }
    return out;
  }

  std::string Decode(std::span<const TokenId> tokens, bool skip_control) const {
    std::vector<std::string> texts;
    texts.reserve(tokens.size());
    for (const TokenId token : tokens) {
      CHECK(token >= 0 && token < size());
      if (texts_[token].empty()) continue;
      if (skip_control && IsControlType(types_[token])) continue;
      texts.push_back(texts_[token]);
    }
    return decoder_->Decode(std::move(texts));
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
  std::span<const TokenId> prefix() const { return prefix_; }
  std::span<const TokenId> suffix() const { return suffix_; }

 private:
  // A part of the text that holds no added token as it stands: one may yet appear once it is
  // normalized.
  void EncodePlain(std::string_view text, const std::vector<uint32_t>& labels,
                   const AddedTokens::Part& part, std::vector<TokenId>& out) const {
    const std::string_view plain = text.substr(part.begin, part.end - part.begin);
    if (normalizer_->empty() && normalized_added_->empty()) {
      EncodePieces(plain, part.begin == 0, out);
      return;
    }
    LabeledText changed{std::string(plain)};
    if (normalized_added_->any_needs_trust() && !labels.empty()) {
      changed.labels.assign(labels.begin() + static_cast<ptrdiff_t>(part.begin),
                            labels.begin() + static_cast<ptrdiff_t>(part.end));
    }
    changed = normalizer_->Normalize(std::move(changed));
    for (const AddedTokens::Part& inner : normalized_added_->Split(changed.text, changed.labels)) {
      if (inner.token >= 0) {
        out.push_back(inner.token);
      } else {
        EncodePieces(std::string_view(changed.text).substr(inner.begin, inner.end - inner.begin),
                     part.begin == 0 && inner.begin == 0, out);
      }
    }
  }

  void EncodePieces(std::string_view text, bool at_beginning, std::vector<TokenId>& out) const {
    const TextPieces pieces = pre_tokenizer_->Split(text, at_beginning);
    for (const std::string_view piece : pieces.pieces) model_->Encode(piece, out);
  }

  void LoadAddedTokens(const TokenizerSpec& spec) {
    absl::flat_hash_map<TokenId, AddedToken> flags;
    for (const AddedToken& token : spec.added) flags.insert_or_assign(token.id, token);
    std::vector<AddedTokens::Entry> as_written;
    std::vector<AddedTokens::Entry> normalized;
    std::deque<std::string> normalized_texts;
    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      if (!IsAddedType(spec.types[i])) continue;
      AddedTokens::Entry entry{.text = spec.tokens[i], .needs_trust = IsControlType(spec.types[i])};
      const auto id = static_cast<TokenId>(i);
      if (const auto known = flags.find(id); known != flags.end()) entry.flags = known->second;
      entry.flags.id = id;
      if (entry.flags.normalized) {
        entry.text = normalized_texts.emplace_back(normalizer_->Normalize({spec.tokens[i]}).text);
        normalized_forms_.insert_or_assign(id, std::string(entry.text));
      }
      (entry.flags.normalized ? normalized : as_written).push_back(entry);
    }
    added_.emplace(as_written);
    normalized_added_.emplace(normalized);
  }

  void LoadTokens(const TokenizerSpec& spec) {
    bytes_.reserve(spec.tokens.size());
    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      const std::string& text = spec.tokens[i];
      bytes_.push_back(IsAddedType(spec.types[i]) ? text : decoder_->BytesOf(text));
      const auto normalized = normalized_forms_.find(static_cast<TokenId>(i));
      texts_.push_back(normalized != normalized_forms_.end() ? normalized->second : text);
    }
  }

  std::optional<Normalizer> normalizer_;
  std::optional<PreTokenizer> pre_tokenizer_;
  std::optional<TokenDecoder> decoder_;
  std::unique_ptr<const TokenModel> model_;
  std::optional<AddedTokens> added_;                            // found in the text as it is
  std::optional<AddedTokens> normalized_added_;                 // found in the normalized text
  absl::flat_hash_map<TokenId, std::string> normalized_forms_;  // what the latter are found as
  std::vector<std::string> bytes_;
  std::vector<std::string> texts_;  // as decoders take them
  std::vector<TokenType> types_;
  std::vector<TokenId> end_of_text_;
  std::vector<TokenId> prefix_;
  std::vector<TokenId> suffix_;
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

std::string Tokenizer::Decode(std::span<const TokenId> tokens, bool skip_control) const {
  return impl_->Decode(tokens, skip_control);
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
std::span<const TokenId> Tokenizer::prefix() const { return impl_->prefix(); }
std::span<const TokenId> Tokenizer::suffix() const { return impl_->suffix(); }
int32_t Tokenizer::vocabulary_size() const { return impl_->size(); }

}  // namespace spillway
