#include "worker/text/character_changes.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "worker/text/byte_alphabet.h"
#include "worker/text/code_point_set.h"
#include "worker/text/unicode_properties.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

// What a character becomes; nothing: it stays.
using Change = std::function<std::optional<std::string>(char32_t)>;

class CharacterChange : public TextChange {
 public:
  explicit CharacterChange(Change change) : change_(std::move(change)) {}

  LabeledText Apply(const LabeledText& text) const override {
    LabeledTextWriter writer(text);
    while (writer.at() < text.text.size()) {
      const Utf8Character character =
          FirstUtf8Character(std::string_view(text.text).substr(writer.at()));
      const size_t end = writer.at() + static_cast<size_t>(character.size);
      std::optional<std::string> changed;
      if (character.kind == Utf8Character::Kind::kWhole) changed = change_(character.code_point);
      if (changed) {
        writer.ReplaceTo(end, *changed);
      } else {
        writer.CopyTo(end);
      }
    }
    return writer.Finish();
  }

 private:
  const Change change_;
};

class UnicodeChange : public TextChange {
 public:
  explicit UnicodeChange(UnicodeNormalization::Form form) : form_(form) {}

  LabeledText Apply(const LabeledText& text) const override {
    LabeledTextWriter writer(text);
    form_.ForEachSegment(text.text, [&](size_t, size_t end, std::string_view normal) {
      writer.ReplaceTo(end, normal);
    });
    return writer.Finish();
  }

 private:
  const UnicodeNormalization form_;
};

bool IsBetween(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

// Of tokenizers' normalizers/unicode.rs, do_nmt.
std::optional<std::string> Nmt(char32_t c) {
  if (IsBetween(c, 0x01, 0x08) || c == 0x0B || IsBetween(c, 0x0E, 0x1F) || c == 0x7F || c == 0x8F ||
      c == 0x9F) {
    return "";
  }
  if (c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
      IsBetween(c, 0x200B, 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
      c == 0xFFFD) {
    return " ";
  }
  return std::nullopt;
}

std::optional<std::string> Lowercase(char32_t c) {
  if (IsBetween(c, 'a', 'z')) return std::nullopt;
  std::string lower;
  AppendLowercase(c, lower);
  return lower;
}

// Of tokenizers' normalizers/bert.rs, is_chinese_char.
std::optional<std::string> SpaceAroundChinese(char32_t c) {
  const bool is_chinese = IsBetween(c, 0x4E00, 0x9FFF) || IsBetween(c, 0x3400, 0x4DBF) ||
                          IsBetween(c, 0x20000, 0x2A6DF) || IsBetween(c, 0x2A700, 0x2B73F) ||
                          IsBetween(c, 0x2B740, 0x2B81F) || IsBetween(c, 0x2B920, 0x2CEAF) ||
                          IsBetween(c, 0xF900, 0xFAFF) || IsBetween(c, 0x2F800, 0x2FA1F);
  if (!is_chinese) return std::nullopt;
  std::string spaced = " ";
  AppendUtf8(c, spaced);
  return spaced + " ";
}

Change Dropping(const CodePointSet& set) {
  return [dropped = CodePointBitmap(set)](char32_t c) -> std::optional<std::string> {
    if (dropped.Has(c)) return "";
    return std::nullopt;
  };
}

Change CleaningText() {
  CodePointSet other_spaces = UnicodeWhiteSpace().Without(CodePointSet(U' '));
  return [unwanted = CodePointBitmap(UnicodeBertUnwanted()),
          spaces = CodePointBitmap(other_spaces)](char32_t c) -> std::optional<std::string> {
    if (unwanted.Has(c)) return "";
    if (spaces.Has(c)) return " ";
    return std::nullopt;
  };
}

Change WritingBytes() {
  return [alphabet = ByteAlphabet()](char32_t c) -> std::optional<std::string> {
    std::string bytes;
    AppendUtf8(c, bytes);
    return alphabet.Encode(bytes);
  };
}

void AddBert(const NormalizerStep& step, TextChanges& changes) {
  if (step.clean_text) changes.push_back(std::make_unique<CharacterChange>(CleaningText()));
  if (step.handle_chinese_chars) {
    changes.push_back(std::make_unique<CharacterChange>(SpaceAroundChinese));
  }
  if (step.strip_accents) {
    changes.push_back(MakeUnicodeChange(UnicodeNormalization::Form::kNfd));
    changes.push_back(std::make_unique<CharacterChange>(Dropping(UnicodeBertAccents())));
  }
  if (step.lowercase) changes.push_back(std::make_unique<CharacterChange>(Lowercase));
}

}  // namespace

void AddCharacterChanges(const NormalizerStep& step, TextChanges& changes) {
  switch (step.kind) {
    case NormalizerStep::Kind::kNmt:
      changes.push_back(std::make_unique<CharacterChange>(Nmt));
      break;
    case NormalizerStep::Kind::kLowercase:
      changes.push_back(std::make_unique<CharacterChange>(Lowercase));
      break;
    case NormalizerStep::Kind::kStripAccents:
      changes.push_back(std::make_unique<CharacterChange>(Dropping(UnicodeAccents())));
      break;
    case NormalizerStep::Kind::kByteLevel:
      changes.push_back(std::make_unique<CharacterChange>(WritingBytes()));
      break;
    case NormalizerStep::Kind::kBert:
      AddBert(step, changes);
      break;
    default:
      break;
  }
}

std::unique_ptr<TextChange> MakeUnicodeChange(UnicodeNormalization::Form form) {
  return std::make_unique<UnicodeChange>(form);
}

}  // namespace spillway
