#include "worker/text/normalizer.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "common/status_macros.h"
#include "worker/text/character_changes.h"
#include "worker/text/code_point_set.h"
#include "worker/text/sentencepiece_changes.h"
#include "worker/text/split_pattern.h"
#include "worker/text/unicode_normalization.h"
#include "worker/text/unicode_properties.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

using Kind = NormalizerStep::Kind;

class StripChange : public TextChange {
 public:
  StripChange(bool left, bool right) : left_(left), right_(right) {}

  LabeledText Apply(const LabeledText& text) const override {
    const std::string_view all = text.text;
    size_t begin = all.size();  // of what is kept
    size_t end = 0;
    for (size_t at = 0; at < all.size();) {
      const Utf8Character character = FirstUtf8Character(all.substr(at));
      const bool is_space =
          character.kind == Utf8Character::Kind::kWhole && spaces_.Has(character.code_point);
      const size_t next = at + static_cast<size_t>(character.size);
      if (!is_space) {
        begin = std::min(begin, at);
        end = next;
      }
      at = next;
    }
    if (!left_) begin = 0;
    if (!right_) end = all.size();
    if (begin >= end) return {};
    LabeledTextWriter writer(text);
    writer.ReplaceTo(begin, "");
    writer.CopyTo(end);
    writer.ReplaceTo(all.size(), "");
    return writer.Finish();
  }

 private:
  const bool left_;
  const bool right_;
  const CodePointBitmap spaces_{UnicodeWhiteSpace()};
};

class PrependChange : public TextChange {
 public:
  explicit PrependChange(std::string what) : what_(std::move(what)) {}

  LabeledText Apply(const LabeledText& text) const override {
    LabeledTextWriter writer(text);
    if (!text.text.empty()) writer.Insert(what_);
    return writer.Finish();
  }

 private:
  const std::string what_;
};

class ReplaceChange : public TextChange {
 public:
  ReplaceChange(SplitPattern pattern, std::string replacement)
      : pattern_(std::move(pattern)), replacement_(std::move(replacement)) {}

  LabeledText Apply(const LabeledText& text) const override {
    LabeledTextWriter writer(text);
    ForEachUtf8Run(text.text, [&](size_t run_begin, std::string_view run, bool is_valid) {
      if (!is_valid) return;
      pattern_.ForEachMatch(run, [&](size_t begin, size_t end) {
        writer.CopyTo(run_begin + begin);
        writer.ReplaceTo(run_begin + end, replacement_);
      });
    });
    return writer.Finish();
  }

 private:
  const SplitPattern pattern_;
  const std::string replacement_;
};

absl::Status AddReplace(const NormalizerStep& step, TextChanges& changes) {
  ASSIGN_OR_RETURN(SplitPattern pattern, SplitPattern::Create(step.pattern));
  changes.push_back(std::make_unique<ReplaceChange>(std::move(pattern), step.text));
  return absl::OkStatus();
}

absl::Status AddChanges(const NormalizerStep& step, TextChanges& changes) {
  using Form = UnicodeNormalization::Form;
  switch (step.kind) {
    case Kind::kNfc:
      changes.push_back(MakeUnicodeChange(Form::kNfc));
      break;
    case Kind::kNfd:
      changes.push_back(MakeUnicodeChange(Form::kNfd));
      break;
    case Kind::kNfkc:
      changes.push_back(MakeUnicodeChange(Form::kNfkc));
      break;
    case Kind::kNfkd:
      changes.push_back(MakeUnicodeChange(Form::kNfkd));
      break;
    case Kind::kStrip:
      changes.push_back(std::make_unique<StripChange>(step.left, step.right));
      break;
    case Kind::kPrepend:
      changes.push_back(std::make_unique<PrependChange>(step.text));
      break;
    case Kind::kReplace:
      return AddReplace(step, changes);
    case Kind::kPrecompiled: {
      ASSIGN_OR_RETURN(changes.emplace_back(), MakePrecompiledChange(step));
      break;
    }
    case Kind::kSentencePiece: {
      ASSIGN_OR_RETURN(changes.emplace_back(), MakeSentencePieceChange(step));
      break;
    }
    default:
      AddCharacterChanges(step, changes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Normalizer> Normalizer::Create(std::span<const NormalizerStep> steps) {
  TextChanges changes;
  for (const NormalizerStep& step : steps) RETURN_IF_ERROR(AddChanges(step, changes));
  return Normalizer(std::move(changes));
}

LabeledText Normalizer::Normalize(LabeledText text) const {
  for (const auto& change : changes_) text = change->Apply(text);
  return text;
}

}  // namespace spillway
