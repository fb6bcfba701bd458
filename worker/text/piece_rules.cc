#include "worker/text/piece_rules.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/text/byte_alphabet.h"
#include "worker/text/code_point_set.h"
#include "worker/text/split_behavior.h"
#include "worker/text/split_pattern.h"
#include "worker/text/unicode_properties.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

using Behavior = PreTokenizerStep::Behavior;
using Kind = PreTokenizerStep::Kind;
using Prepend = PreTokenizerStep::Prepend;
using Rule = std::unique_ptr<const PieceRule>;

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Adds the part from `begin` to `end`, and what was left out since the part before.
void AddMatch(size_t begin, size_t end, std::vector<SplitPart>& parts) {
  const size_t done = parts.empty() ? 0 : parts.back().end;
  if (begin > done) parts.push_back({done, begin, false});
  parts.push_back({begin, end, true});
}

void AddRest(size_t size, std::vector<SplitPart>& parts) {
  const size_t done = parts.empty() ? 0 : parts.back().end;
  if (size > done) parts.push_back({done, size, false});
}

class PatternRule : public PieceRule {
 public:
  PatternRule(SplitPattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void Cut(std::string_view piece, bool, TextPieces& out) const override {
    std::vector<SplitPart> parts;
    pattern_.ForEachMatch(piece, [&](size_t begin, size_t end) { AddMatch(begin, end, parts); });
    AddRest(piece.size(), parts);
    if (invert_) {
      for (SplitPart& part : parts) part.is_match = !part.is_match;
    }
    AppendPieces(piece, parts, behavior_, out.pieces);
  }

 private:
  const SplitPattern pattern_;
  const Behavior behavior_;
  const bool invert_;
};

// Every character of a set is a match.
class CharacterRule : public PieceRule {
 public:
  CharacterRule(const CodePointSet& set, Behavior behavior) : set_(set), behavior_(behavior) {}

  void Cut(std::string_view piece, bool, TextPieces& out) const override {
    std::vector<SplitPart> parts;
    for (size_t at = 0; at < piece.size();) {
      const Utf8Character character = FirstUtf8Character(piece.substr(at));
      const size_t end = at + static_cast<size_t>(character.size);
      if (set_.Has(character.code_point)) AddMatch(at, end, parts);
      at = end;
    }
    AddRest(piece.size(), parts);
    AppendPieces(piece, parts, behavior_, out.pieces);
  }

 private:
  const CodePointBitmap set_;
  const Behavior behavior_;
};

class BertRule : public PieceRule {
 public:
  void Cut(std::string_view piece, bool, TextPieces& out) const override {
    TextPieces words;
    spaces_.Cut(piece, false, words);
    for (const std::string_view word : words.pieces) punctuation_.Cut(word, false, out);
  }

 private:
  const CharacterRule spaces_{UnicodeWhiteSpace(), Behavior::kRemoved};
  const CharacterRule punctuation_{UnicodePunctuation(), Behavior::kIsolated};
};

class ByteLevelRule : public PieceRule {
 public:
  ByteLevelRule(Rule words, bool add_prefix_space, bool maps_bytes)
      : words_(std::move(words)), add_prefix_space_(add_prefix_space), maps_bytes_(maps_bytes) {}

  void Cut(std::string_view piece, bool at_beginning, TextPieces& out) const override {
    if (add_prefix_space_ && !piece.starts_with(' ')) {
      piece = out.owned.emplace_back(" " + std::string(piece));
    }
    const size_t first = out.pieces.size();
    if (words_ == nullptr) {
      out.pieces.push_back(piece);
    } else {
      words_->Cut(piece, at_beginning, out);
    }
    for (size_t i = first; maps_bytes_ && i < out.pieces.size(); ++i) {
      out.pieces[i] = out.owned.emplace_back(alphabet_.Encode(out.pieces[i]));
    }
  }

 private:
  const Rule words_;  // null: no cuts
  const bool add_prefix_space_;
  const bool maps_bytes_;
  const ByteAlphabet alphabet_;
};

class MetaspaceRule : public PieceRule {
 public:
  MetaspaceRule(SplitPattern replacement, const PreTokenizerStep& step)
      : pattern_(std::move(replacement), Behavior::kMergedWithNext, false), step_(step) {}

  void Cut(std::string_view piece, bool at_beginning, TextPieces& out) const override {
    std::string text;
    for (const char c : piece) {
      if (c == ' ') {
        text += step_.replacement;
      } else {
        text += c;
      }
    }
    const bool prepends =
        step_.prepend == Prepend::kAlways || (step_.prepend == Prepend::kFirst && at_beginning);
    if (prepends && !text.starts_with(step_.replacement)) text.insert(0, step_.replacement);
    const std::string& changed = out.owned.emplace_back(std::move(text));
    if (step_.split) {
      pattern_.Cut(changed, at_beginning, out);
    } else {
      out.pieces.push_back(changed);
    }
  }

 private:
  const PatternRule pattern_;
  const PreTokenizerStep step_;
};

class FixedLengthRule : public PieceRule {
 public:
  explicit FixedLengthRule(size_t length) : length_(length) {}

  void Cut(std::string_view piece, bool, TextPieces& out) const override {
    while (!piece.empty()) {
      size_t size = 0;
      for (size_t count = 0; count < length_ && size < piece.size(); ++count) {
        size += static_cast<size_t>(FirstUtf8Character(piece.substr(size)).size);
      }
      out.pieces.push_back(piece.substr(0, size));
      piece.remove_prefix(size);
    }
  }

 private:
  const size_t length_;
};

absl::StatusOr<Rule> MakePatternRule(const TextPattern& pattern, Behavior behavior, bool invert) {
  ASSIGN_OR_RETURN(SplitPattern parsed, SplitPattern::Create(pattern));
  return std::make_unique<PatternRule>(std::move(parsed), behavior, invert);
}

Rule MakeCharacterRule(const CodePointSet& set, Behavior behavior) {
  return std::make_unique<CharacterRule>(set, behavior);
}

// \w+|[^\w\s]+ of Rust's regex crate, whose \w is not Oniguruma's.
Rule MakeWhitespaceRule() {
  class Words : public PieceRule {
   public:
    void Cut(std::string_view piece, bool, TextPieces& out) const override {
      TextPieces all;
      spaces_.Cut(piece, false, all);
      for (const std::string_view part : all.pieces) words_.Cut(part, false, out);
    }

   private:
    const CharacterRule spaces_{UnicodeWhiteSpace(), Behavior::kRemoved};
    const CharacterRule words_{UnicodeRustWord(), Behavior::kContiguous};
  };
  return std::make_unique<Words>();
}

}  // namespace

absl::StatusOr<Rule> MakePieceRule(const PreTokenizerStep& step, bool maps_bytes) {
  switch (step.kind) {
    case Kind::kSplit:
      return MakePatternRule(step.pattern, step.behavior, step.invert);
    case Kind::kByteLevel: {
      Rule words;
      if (step.use_regex) {
        ASSIGN_OR_RETURN(words,
                         MakePatternRule({std::string(kGpt2), true}, Behavior::kIsolated, false));
      }
      return std::make_unique<ByteLevelRule>(std::move(words), step.add_prefix_space, maps_bytes);
    }
    case Kind::kMetaspace: {
      ASSIGN_OR_RETURN(SplitPattern replacement, SplitPattern::Literal(step.replacement));
      return std::make_unique<MetaspaceRule>(std::move(replacement), step);
    }
    case Kind::kDigits:
      return MakeCharacterRule(
          UnicodeNumeric(), step.individual_digits ? Behavior::kIsolated : Behavior::kContiguous);
    case Kind::kPunctuation:
      return MakeCharacterRule(UnicodePunctuation(), step.behavior);
    case Kind::kWhitespace:
      return MakeWhitespaceRule();
    case Kind::kWhitespaceSplit:
      return MakeCharacterRule(UnicodeWhiteSpace(), Behavior::kRemoved);
    case Kind::kBert:
      return std::make_unique<BertRule>();
    case Kind::kDelimiter:
      return MakePatternRule(step.pattern, Behavior::kRemoved, false);
    case Kind::kFixedLength:
      break;
  }
  return std::make_unique<FixedLengthRule>(step.length);
}

}  // namespace spillway
