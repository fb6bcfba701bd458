#include "worker/text/unicode_normalization.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "worker/text/utf8.h"

namespace spillway {
namespace {

struct Decomposition {
  char32_t c;
  uint16_t begin;
  uint16_t size;
};

struct CombiningClassRun {
  char32_t first;
  char32_t last;
  uint8_t combining_class;
};

struct Composition {
  char32_t first;
  char32_t second;
  char32_t composed;
};

#include "worker/text/unicode_decompositions.inc"

// Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12).
constexpr char32_t kSyllableBase = 0xAC00;
constexpr char32_t kLeadBase = 0x1100;
constexpr char32_t kVowelBase = 0x1161;
constexpr char32_t kTailBase = 0x11A7;
constexpr char32_t kLeadCount = 19;
constexpr char32_t kVowelCount = 21;
constexpr char32_t kTailCount = 28;
constexpr char32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

bool IsBetween(char32_t c, char32_t base, char32_t count) { return c >= base && c < base + count; }

std::span<const char32_t> Find(std::span<const Decomposition> table, char32_t c) {
  const auto found =
      std::lower_bound(table.begin(), table.end(), c,
                       [](const Decomposition& entry, char32_t value) { return entry.c < value; });
  if (found == table.end() || found->c != c) return {};
  return std::span(kPool).subspan(found->begin, found->size);
}

uint8_t CombiningClassOf(char32_t c) {
  const auto after = std::upper_bound(
      std::begin(kCombiningClasses), std::end(kCombiningClasses), c,
      [](char32_t value, const CombiningClassRun& run) { return value < run.first; });
  if (after == std::begin(kCombiningClasses)) return 0;
  const CombiningClassRun& run = *std::prev(after);
  return c <= run.last ? run.combining_class : uint8_t{0};
}

// 0: they don't compose.
char32_t Compose(char32_t first, char32_t second) {
  if (IsBetween(first, kLeadBase, kLeadCount) && IsBetween(second, kVowelBase, kVowelCount)) {
    return kSyllableBase + ((first - kLeadBase) * kVowelCount + second - kVowelBase) * kTailCount;
  }
  if (IsBetween(first, kSyllableBase, kSyllableCount) &&
      (first - kSyllableBase) % kTailCount == 0 &&
      IsBetween(second, kTailBase + 1, kTailCount - 1)) {
    return first + (second - kTailBase);
  }
  const auto found =
      std::lower_bound(std::begin(kCompositions), std::end(kCompositions), std::pair(first, second),
                       [](const Composition& entry, const std::pair<char32_t, char32_t>& pair) {
                         return std::pair(entry.first, entry.second) < pair;
                       });
  if (found == std::end(kCompositions) || found->first != first || found->second != second) {
    return 0;
  }
  return found->composed;
}

struct Mark {
  char32_t c;
  uint8_t combining_class;
};

void AppendDecomposed(char32_t c, bool compatible, std::vector<Mark>& out) {
  if (IsBetween(c, kSyllableBase, kSyllableCount)) {
    const char32_t index = c - kSyllableBase;
    out.push_back({kLeadBase + index / (kVowelCount * kTailCount), 0});
    out.push_back({kVowelBase + index % (kVowelCount * kTailCount) / kTailCount, 0});
    if (index % kTailCount != 0) out.push_back({kTailBase + index % kTailCount, 0});
    return;
  }
  std::span<const char32_t> parts;
  if (compatible) parts = Find(kCompatible, c);
  if (parts.empty()) parts = Find(kCanonical, c);
  if (parts.empty()) parts = std::span(&c, 1);
  for (const char32_t part : parts) out.push_back({part, CombiningClassOf(part)});
}

void SortMarks(std::vector<Mark>& marks) {
  for (auto begin = marks.begin(); begin != marks.end();) {
    if (begin->combining_class == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, marks.end(),
                                  [](const Mark& mark) { return mark.combining_class == 0; });
    std::stable_sort(begin, end, [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
    begin = end;
  }
}

// A character composes with the last starter unless one between them has its class or a higher one.
void ComposeMarks(std::vector<Mark>& marks) {
  size_t kept = 0;
  size_t starter = marks.size();
  for (size_t i = 0; i < marks.size(); ++i) {
    const Mark mark = marks[i];
    if (starter < kept) {
      const bool adjacent = starter + 1 == kept;
      const uint8_t last = marks[kept - 1].combining_class;
      if (adjacent || last < mark.combining_class) {
        if (const char32_t composed = Compose(marks[starter].c, mark.c)) {
          marks[starter].c = composed;
          continue;
        }
      }
    }
    if (mark.combining_class == 0) starter = kept;
    marks[kept++] = mark;
  }
  marks.resize(kept);
}

CodePointSet Affected(bool compatible, bool composes) {
  std::vector<CodePointRange> ranges = {{kSyllableBase, kSyllableBase + kSyllableCount - 1}};
  for (const Decomposition& entry : kCanonical) ranges.push_back({entry.c, entry.c});
  if (compatible) {
    for (const Decomposition& entry : kCompatible) ranges.push_back({entry.c, entry.c});
  }
  for (const CombiningClassRun& run : kCombiningClasses) ranges.push_back({run.first, run.last});
  if (composes) {
    for (const Composition& entry : kCompositions) ranges.push_back({entry.second, entry.second});
    ranges.push_back({kVowelBase, kVowelBase + kVowelCount - 1});
    ranges.push_back({kTailBase, kTailBase + kTailCount - 1});
  }
  return CodePointSet(ranges);
}

bool IsCompatible(UnicodeNormalization::Form form) {
  return form == UnicodeNormalization::Form::kNfkc || form == UnicodeNormalization::Form::kNfkd;
}

bool Composes(UnicodeNormalization::Form form) {
  return form == UnicodeNormalization::Form::kNfc || form == UnicodeNormalization::Form::kNfkc;
}

}  // namespace

UnicodeNormalization::UnicodeNormalization(Form form)
    : compatible_(IsCompatible(form)),
      composes_(Composes(form)),
      affected_(Affected(compatible_, composes_)) {}

void UnicodeNormalization::ForEachSegment(std::string_view text,
                                          const OnSegment& on_segment) const {
  std::string normal;
  size_t done = 0;  // all before it was handed on
  size_t last = 0;  // where the last character that begins a segment stands
  const auto hand_on = [&](size_t begin, size_t end) {
    if (begin > done) on_segment(done, begin, text.substr(done, begin - done));
    normal.clear();
    AppendSegment(text.substr(begin, end - begin), normal);
    on_segment(begin, end, normal);
    done = end;
  };
  bool open = false;  // an affected character came after `last`
  for (size_t at = 0; at < text.size();) {
    const Utf8Character character = FirstUtf8Character(text.substr(at));
    const bool whole = character.kind == Utf8Character::Kind::kWhole;
    if (whole && affected_.Has(character.code_point)) {
      open = true;
    } else {
      if (open) hand_on(last, at);
      open = false;
      // What is no UTF-8 interacts with nothing.
      last = whole ? at : at + static_cast<size_t>(character.size);
    }
    at += static_cast<size_t>(character.size);
  }
  if (open) hand_on(last, text.size());
  if (done < text.size()) on_segment(done, text.size(), text.substr(done));
}

std::string UnicodeNormalization::Normalize(std::string_view text) const {
  std::string out;
  ForEachSegment(text, [&](size_t, size_t, std::string_view part) { out += part; });
  return out;
}

void UnicodeNormalization::AppendSegment(std::string_view segment, std::string& out) const {
  std::vector<Mark> marks;
  while (!segment.empty()) {
    const Utf8Character character = FirstUtf8Character(segment);
    AppendDecomposed(character.code_point, compatible_, marks);
    segment.remove_prefix(static_cast<size_t>(character.size));
  }
  SortMarks(marks);
  if (composes_) ComposeMarks(marks);
  for (const Mark& mark : marks) AppendUtf8(mark.c, out);
}

}  // namespace spillway
