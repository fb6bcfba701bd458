#include "worker/text/sentencepiece_changes.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/status_macros.h"
#include "worker/text/graphemes.h"
#include "worker/text/precompiled_charsmap.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";

class PrecompiledChange : public TextChange {
 public:
  explicit PrecompiledChange(PrecompiledCharsmap map) : map_(std::move(map)) {}

  LabeledText Apply(const LabeledText& text) const override {
    LabeledTextWriter writer(text);
    const std::string_view all = text.text;
    while (writer.at() < all.size()) {
      const Utf8Character character = FirstUtf8Character(all.substr(writer.at()));
      if (character.kind != Utf8Character::Kind::kWhole) {
        writer.CopyTo(writer.at() + static_cast<size_t>(character.size));
        continue;
      }
      const std::string_view valid = all.substr(writer.at(), ValidSize(all.substr(writer.at())));
      const size_t end = writer.at() + valid.size();
      while (writer.at() < end) Grapheme(all.substr(writer.at(), end - writer.at()), writer);
    }
    return writer.Finish();
  }

 private:
  static constexpr size_t kGraphemeBytesMax = 5;

  // Of the longest run of UTF-8 at the beginning.
  static size_t ValidSize(std::string_view text) {
    size_t size = 0;
    while (size < text.size()) {
      const Utf8Character character = FirstUtf8Character(text.substr(size));
      if (character.kind != Utf8Character::Kind::kWhole) break;
      size += static_cast<size_t>(character.size);
    }
    return size;
  }

  void Grapheme(std::string_view rest, LabeledTextWriter& writer) const {
    const std::string_view grapheme = rest.substr(0, graphemes_.FirstSize(rest));
    if (grapheme.size() <= kGraphemeBytesMax && Replace(grapheme, writer)) return;
    for (std::string_view left = grapheme; !left.empty();) {
      const auto size = static_cast<size_t>(FirstUtf8Character(left).size);
      if (!Replace(left.substr(0, size), writer)) writer.CopyTo(writer.at() + size);
      left.remove_prefix(size);
    }
  }

  bool Replace(std::string_view part, LabeledTextWriter& writer) const {
    const auto match = map_.Shortest(part);
    if (match) writer.ReplaceTo(writer.at() + part.size(), match->replacement);
    return match.has_value();
  }

  const PrecompiledCharsmap map_;
  const Graphemes graphemes_;
};

class SentencePieceChange : public TextChange {
 public:
  SentencePieceChange(std::optional<PrecompiledCharsmap> map, const NormalizerStep& step)
      : map_(std::move(map)),
        add_space_prefix_(step.add_space_prefix),
        remove_extra_spaces_(step.remove_extra_spaces),
        space_is_suffix_(step.space_is_suffix) {}

  LabeledText Apply(const LabeledText& text) const override {
    LabeledText mapped = MapCharacters(text);
    return WriteSpaces(mapped);
  }

 private:
  LabeledText MapCharacters(const LabeledText& text) const {
    LabeledTextWriter writer(text);
    const std::string_view all = text.text;
    while (map_ && writer.at() < all.size()) {
      const std::string_view rest = all.substr(writer.at());
      if (const auto match = map_->Longest(rest)) {
        writer.ReplaceTo(writer.at() + match->size, match->replacement);
      } else {
        writer.CopyTo(writer.at() + static_cast<size_t>(FirstUtf8Character(rest).size));
      }
    }
    return writer.Finish();
  }

  LabeledText WriteSpaces(const LabeledText& text) const {
    LabeledTextWriter writer(text);
    const std::string_view all = text.text;
    const size_t first = remove_extra_spaces_ ? all.find_first_not_of(' ') : 0;
    if (first >= all.size()) return {};
    const size_t last = remove_extra_spaces_ ? all.find_last_not_of(' ') + 1 : all.size();
    writer.ReplaceTo(first, "");
    if (add_space_prefix_ && !space_is_suffix_) writer.Insert(kSpaceMark);
    while (writer.at() < last) {
      const size_t space = std::min(all.find(' ', writer.at()), last);
      writer.CopyTo(space);
      if (space == last) break;
      const size_t after = remove_extra_spaces_ ? all.find_first_not_of(' ', space) : space + 1;
      writer.ReplaceTo(after, kSpaceMark);
    }
    writer.ReplaceTo(all.size(), "");
    if (add_space_prefix_ && space_is_suffix_) writer.Insert(kSpaceMark);
    return writer.Finish();
  }

  const std::optional<PrecompiledCharsmap> map_;
  const bool add_space_prefix_;
  const bool remove_extra_spaces_;
  const bool space_is_suffix_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const TextChange>> MakePrecompiledChange(
    const NormalizerStep& step) {
  ASSIGN_OR_RETURN(PrecompiledCharsmap map, PrecompiledCharsmap::Parse(step.text));
  return std::make_unique<PrecompiledChange>(std::move(map));
}

absl::StatusOr<std::unique_ptr<const TextChange>> MakeSentencePieceChange(
    const NormalizerStep& step) {
  std::optional<PrecompiledCharsmap> map;
  if (!step.text.empty()) {
    ASSIGN_OR_RETURN(map, PrecompiledCharsmap::Parse(step.text));
  }
  return std::make_unique<SentencePieceChange>(std::move(map), step);
}

}  // namespace spillway
