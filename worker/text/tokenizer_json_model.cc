#include "worker/text/tokenizer_json_model.h"

#include <cmath>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

using Limits = TokenizerLimits;
using Kind = TokenizerSpec::Kind;
using TokenType = TokenizerSpec::TokenType;

constexpr TokenId kIdMax = static_cast<TokenId>(Limits::kVocabularyMax) - 1;

// {"token": id, …}
absl::Status ReadVocabularyObject(const JsonField& vocabulary, TokenizerSpec& spec, TokenIds& ids) {
  RETURN_IF_ERROR(vocabulary.ForEachMember([&](std::string_view text, const JsonField& value) {
    ASSIGN_OR_RETURN(const int64_t id, value.Int(0, kIdMax));
    if (text.size() > Limits::kTokenBytesMax) {
      return vocabulary.Wrong(absl::StrCat("has a token of ", text.size(),
                                           " bytes, beyond the limit of ", Limits::kTokenBytesMax));
    }
    ids.insert_or_assign(std::string(text), static_cast<TokenId>(id));
    return absl::OkStatus();
  }));
  TokenId last = -1;
  for (const auto& [text, id] : ids) last = std::max(last, id);
  spec.tokens.resize(static_cast<size_t>(last + 1));
  spec.types.assign(spec.tokens.size(), TokenType::kUnused);
  for (const auto& [text, id] : ids) {
    if (spec.types[id] != TokenType::kUnused) {
      return vocabulary.Wrong(
          absl::StrCat("gives the id ", id, " to \"", spec.tokens[id], "\" and \"", text, "\""));
    }
    spec.tokens[id] = text;
    spec.types[id] = TokenType::kNormal;
  }
  return absl::OkStatus();
}

// [["token", score], …], ids in order.
absl::Status ReadVocabularyArray(const JsonField& vocabulary, TokenizerSpec& spec, TokenIds& ids) {
  return vocabulary.ForEachElement([&](const JsonField& entry) {
    if (spec.tokens.size() == Limits::kVocabularyMax) {
      return vocabulary.Wrong(absl::StrCat("has more than ", Limits::kVocabularyMax, " entries"));
    }
    ASSIGN_OR_RETURN(const std::vector<JsonField> parts, entry.Elements(2));
    if (parts.size() != 2) return entry.Wrong("has an entry that is no pair");
    ASSIGN_OR_RETURN(const std::string_view text, parts[0].String(Limits::kTokenBytesMax));
    ASSIGN_OR_RETURN(const double score, parts[1].Number());
    if (!std::isfinite(score)) return entry.Wrong("has a score that is no number");
    ids.insert_or_assign(std::string(text), static_cast<TokenId>(spec.tokens.size()));
    spec.tokens.emplace_back(text);
    spec.types.push_back(TokenType::kNormal);
    spec.scores.push_back(score);
    return absl::OkStatus();
  });
}

// The two texts of a merge, whichever way it is written. Nothing: a line that is none.
absl::StatusOr<std::optional<std::pair<std::string_view, std::string_view>>> MergeTexts(
    const JsonField& merge) {
  std::string_view left;
  std::string_view right;
  if (merge.is_string()) {
    ASSIGN_OR_RETURN(const std::string_view line, merge.String(2 * Limits::kTokenBytesMax));
    if (line.starts_with("#version")) return std::nullopt;
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      return merge.Wrong(absl::StrCat("has \"", std::string(line), "\", which is not two tokens"));
    }
    left = line.substr(0, space);
    right = line.substr(space + 1);
  } else {
    int count = 0;
    RETURN_IF_ERROR(merge.ForEachElement([&](const JsonField& part) {
      if (count == 2) return part.Wrong("has a merge of more than two tokens");
      ASSIGN_OR_RETURN((count++ == 0 ? left : right), part.String(Limits::kTokenBytesMax));
      return absl::OkStatus();
    }));
    if (count != 2) return merge.Wrong("has a merge that is not two tokens");
  }
  return std::pair(left, right);
}

absl::Status ReadMerges(const JsonField& merges, const TokenIds& ids, TokenizerSpec& spec) {
  const size_t prefix = spec.continuing_prefix.size();
  std::string both;
  RETURN_IF_ERROR(merges.ForEachElement([&](const JsonField& merge) {
    if (spec.merges.size() == Limits::kMergesMax) {
      return merges.Wrong(absl::StrCat("has more than ", Limits::kMergesMax, " elements"));
    }
    ASSIGN_OR_RETURN(const auto texts, MergeTexts(merge));
    if (!texts) return absl::OkStatus();
    const auto& [left, right] = *texts;
    if (right.size() < prefix) {
      return merges.Wrong(absl::StrCat("has \"", std::string(right),
                                       "\" on the right, which lacks ", "the prefix \"",
                                       spec.continuing_prefix, "\""));
    }
    both = left;
    both += right.substr(prefix);
    MergeRule rule;
    for (const auto& [text, id] : {std::pair(left, &rule.left), std::pair(right, &rule.right),
                                   std::pair(std::string_view(both), &rule.merged)}) {
      const auto found = ids.find(std::string(text));
      if (found == ids.end()) {
        return merges.Wrong(absl::StrCat("merges \"", std::string(left), "\" and \"",
                                         std::string(right), "\", but \"", std::string(text),
                                         "\" is no token"));
      }
      *id = found->second;
    }
    spec.merges.push_back(rule);
    return absl::OkStatus();
  }));
  return absl::OkStatus();
}

absl::Status SetUnknown(std::string_view text, const TokenIds& ids, TokenizerSpec& spec) {
  const auto id = ids.find(std::string(text));
  if (id == ids.end()) return absl::OkStatus();  // Texts without unknown characters need none.
  spec.unknown = id->second;
  return absl::OkStatus();
}

absl::Status ReadBpe(const JsonField& model, bool byte_level, TokenizerSpec& spec, TokenIds& ids) {
  ASSIGN_OR_RETURN(const JsonField vocabulary, model.Get("vocab"));
  RETURN_IF_ERROR(ReadVocabularyObject(vocabulary, spec, ids));
  ASSIGN_OR_RETURN(spec.continuing_prefix,
                   model.StringOr("continuing_subword_prefix", "", Limits::kStepTextMax));
  ASSIGN_OR_RETURN(spec.word_suffix,
                   model.StringOr("end_of_word_suffix", "", Limits::kStepTextMax));
  ASSIGN_OR_RETURN(spec.fuse_unknown, model.BoolOr("fuse_unk", false));
  ASSIGN_OR_RETURN(spec.byte_fallback, model.BoolOr("byte_fallback", false));
  ASSIGN_OR_RETURN(spec.ignore_merges, model.BoolOr("ignore_merges", false));
  const bool plain = spec.continuing_prefix.empty() && spec.word_suffix.empty();
  spec.kind = byte_level && plain && !spec.byte_fallback ? Kind::kByteLevelBpe : Kind::kBpe;
  if (const std::optional<JsonField> dropout = model.Find("dropout")) {
    ASSIGN_OR_RETURN(const double probability, dropout->Number());
    if (probability != 0) return dropout->Unknown("is not 0: merges that are left out by chance");
  }
  ASSIGN_OR_RETURN(const std::string unknown,
                   model.StringOr("unk_token", "", Limits::kTokenBytesMax));
  if (!unknown.empty()) RETURN_IF_ERROR(SetUnknown(unknown, ids, spec));
  ASSIGN_OR_RETURN(const JsonField merges, model.Get("merges"));
  return ReadMerges(merges, ids, spec);
}

absl::Status ReadUnigram(const JsonField& model, TokenizerSpec& spec, TokenIds& ids) {
  spec.kind = Kind::kUnigram;
  ASSIGN_OR_RETURN(const JsonField vocabulary, model.Get("vocab"));
  RETURN_IF_ERROR(ReadVocabularyArray(vocabulary, spec, ids));
  ASSIGN_OR_RETURN(spec.byte_fallback, model.BoolOr("byte_fallback", false));
  if (spec.tokens.empty()) return vocabulary.Wrong("is empty");
  ASSIGN_OR_RETURN(const int64_t unknown,
                   model.IntOr("unk_id", -1, 0, static_cast<int64_t>(spec.tokens.size()) - 1));
  spec.unknown = static_cast<TokenId>(unknown);
  return absl::OkStatus();
}

absl::Status ReadWordPiece(const JsonField& model, TokenizerSpec& spec, TokenIds& ids) {
  spec.kind = Kind::kWordPiece;
  ASSIGN_OR_RETURN(const JsonField vocabulary, model.Get("vocab"));
  RETURN_IF_ERROR(ReadVocabularyObject(vocabulary, spec, ids));
  ASSIGN_OR_RETURN(spec.continuing_prefix,
                   model.StringOr("continuing_subword_prefix", "##", Limits::kStepTextMax));
  ASSIGN_OR_RETURN(const int64_t characters,
                   model.IntOr("max_input_chars_per_word", 100, 0, INT32_MAX));
  spec.word_characters_max = static_cast<size_t>(characters);
  ASSIGN_OR_RETURN(const std::string unknown,
                   model.StringOr("unk_token", "[UNK]", Limits::kTokenBytesMax));
  return SetUnknown(unknown, ids, spec);
}

// Files from before the member "type" was invented are told apart by what else they have.
absl::StatusOr<std::string> TypeOf(const JsonField& model) {
  ASSIGN_OR_RETURN(const std::string type, model.StringOr("type", "", Limits::kStepTextMax));
  if (!type.empty()) return type;
  if (model.Find("merges")) return "BPE";
  if (model.Find("max_input_chars_per_word")) return "WordPiece";
  if (const auto vocabulary = model.Find("vocab"); vocabulary && vocabulary->is_array()) {
    return "Unigram";
  }
  return model.Wrong("has no type");
}

}  // namespace

absl::StatusOr<size_t> ReadTokenizerModel(const JsonField& root, bool byte_level,
                                          TokenizerSpec& spec, TokenIds& ids) {
  ASSIGN_OR_RETURN(const JsonField model, root.Get("model"));
  ASSIGN_OR_RETURN(const std::string type, TypeOf(model));
  if (type == "BPE") {
    RETURN_IF_ERROR(ReadBpe(model, byte_level, spec, ids));
  } else if (type == "Unigram") {
    RETURN_IF_ERROR(ReadUnigram(model, spec, ids));
  } else if (type == "WordPiece") {
    RETURN_IF_ERROR(ReadWordPiece(model, spec, ids));
  } else {
    return model.Unknown(absl::StrCat("has the type \"", type,
                                      "\", which is not supported; supported are BPE, Unigram, "
                                      "WordPiece"));
  }
  // A unigram model's pieces may well be <0x41> as text.
  if (spec.byte_fallback && spec.kind != Kind::kUnigram) {
    for (size_t id = 0; id < spec.tokens.size(); ++id) {
      const std::string& text = spec.tokens[id];
      const bool is_byte = text.size() == 6 && text.starts_with("<0x") && text[5] == '>';
      if (is_byte && spec.types[id] == TokenType::kNormal) spec.types[id] = TokenType::kByte;
    }
  }
  return ids.size();
}

}  // namespace spillway
