#include "worker/text/unicode_properties.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>

#include "worker/text/utf8.h"

namespace spillway {
namespace {

enum class Category : uint8_t {
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCo,
};

struct CategoryRun {
  char32_t first;
  char32_t last;
  Category category;
};

struct LowercaseRun {
  char32_t first;
  char32_t last;
  int step;
  int delta;
};

#include "worker/text/unicode_properties.inc"

constexpr std::array<std::string_view, 28> kCategoryNames = {
    "lu", "ll", "lt", "lm", "lo", "mn", "mc", "me", "nd", "nl", "no", "pc", "pd", "ps",
    "pe", "pi", "pf", "po", "sm", "sc", "sk", "so", "zs", "zl", "zp", "cc", "cf", "co"};

// Long names of general categories, and what POSIX classes are made of.
struct Alias {
  std::string_view name;
  std::string_view category;
};
constexpr Alias kAliases[] = {
    {"letter", "l"},
    {"uppercaseletter", "lu"},
    {"lowercaseletter", "ll"},
    {"titlecaseletter", "lt"},
    {"modifierletter", "lm"},
    {"otherletter", "lo"},
    {"mark", "m"},
    {"combiningmark", "m"},
    {"nonspacingmark", "mn"},
    {"spacingmark", "mc"},
    {"enclosingmark", "me"},
    {"number", "n"},
    {"decimalnumber", "nd"},
    {"digit", "nd"},
    {"letternumber", "nl"},
    {"othernumber", "no"},
    {"punctuation", "p"},
    {"punct", "p"},
    {"connectorpunctuation", "pc"},
    {"dashpunctuation", "pd"},
    {"openpunctuation", "ps"},
    {"closepunctuation", "pe"},
    {"initialpunctuation", "pi"},
    {"finalpunctuation", "pf"},
    {"otherpunctuation", "po"},
    {"symbol", "s"},
    {"mathsymbol", "sm"},
    {"currencysymbol", "sc"},
    {"modifiersymbol", "sk"},
    {"othersymbol", "so"},
    {"separator", "z"},
    {"spaceseparator", "zs"},
    {"lineseparator", "zl"},
    {"paragraphseparator", "zp"},
    {"control", "cc"},
    {"cntrl", "cc"},
    {"format", "cf"},
    {"privateuse", "co"},
};

struct NamedSet {
  std::string_view name;
  std::span<const CodePointRange> ranges;
};
constexpr NamedSet kNamedSets[] = {
    {"alphabetic", kAlphabetic},
    {"alpha", kAlphabetic},
    {"emoji", kEmoji},
    {"emojipresentation", kEmojiPresentation},
    {"extendedpictographic", kExtendedPictographic},
    {"ideographic", kIdeographic},
    {"arabic", kArabic},
    {"armenian", kArmenian},
    {"bengali", kBengali},
    {"bopomofo", kBopomofo},
    {"cherokee", kCherokee},
    {"common", kCommon},
    {"cyrillic", kCyrillic},
    {"devanagari", kDevanagari},
    {"ethiopic", kEthiopic},
    {"georgian", kGeorgian},
    {"greek", kGreek},
    {"gujarati", kGujarati},
    {"gurmukhi", kGurmukhi},
    {"han", kHan},
    {"hangul", kHangul},
    {"hebrew", kHebrew},
    {"hiragana", kHiragana},
    {"inherited", kInherited},
    {"kannada", kKannada},
    {"katakana", kKatakana},
    {"khmer", kKhmer},
    {"lao", kLao},
    {"latin", kLatin},
    {"malayalam", kMalayalam},
    {"mongolian", kMongolian},
    {"myanmar", kMyanmar},
    {"oriya", kOriya},
    {"sinhala", kSinhala},
    {"syriac", kSyriac},
    {"tamil", kTamil},
    {"telugu", kTelugu},
    {"thaana", kThaana},
    {"thai", kThai},
    {"tibetan", kTibetan},
    {"yi", kYi},
};

CodePointSet SetOf(std::initializer_list<CodePointRange> ranges) {
  return CodePointSet(std::span(ranges.begin(), ranges.size()));
}

// All whose two-letter category begins with `prefix`.
CodePointSet Categories(std::string_view prefix) {
  std::vector<CodePointRange> ranges;
  for (const CategoryRun& run : kCategoryRuns) {
    if (kCategoryNames[static_cast<size_t>(run.category)].starts_with(prefix)) {
      ranges.push_back({run.first, run.last});
    }
  }
  return CodePointSet(ranges);
}

CodePointSet Union(CodePointSet set, const CodePointSet& other) {
  set.Add(other);
  return set;
}

CodePointSet Assigned() { return Categories(""); }

CodePointSet Graph() { return Assigned().Without(UnicodeWhiteSpace()).Without(Categories("cc")); }

std::optional<CodePointSet> DerivedProperty(std::string_view name) {
  if (name == "uppercase" || name == "upper") {
    return Union(Categories("lu"), CodePointSet(kOtherUppercase));
  }
  if (name == "lowercase" || name == "lower") {
    return Union(Categories("ll"), CodePointSet(kOtherLowercase));
  }
  if (name == "lc") {
    return Union(Union(Categories("lu"), Categories("ll")), Categories("lt"));
  }
  if (name == "alnum") return Union(CodePointSet(kAlphabetic), Categories("nd"));
  if (name == "word") return UnicodeWord();
  if (name == "space" || name == "whitespace") return UnicodeWhiteSpace();
  if (name == "blank") return Union(Categories("zs"), CodePointSet(U'\t'));
  if (name == "graph") return Graph();
  if (name == "print") return Union(Graph(), Categories("zs"));
  if (name == "xdigit") return SetOf({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
  if (name == "ascii") return SetOf({{0, 0x7F}});
  if (name == "any") return SetOf({{0, CodePointSet::kMax}});
  if (name == "assigned") return Assigned();
  if (name == "cn" || name == "unassigned") return Assigned().Complement();
  if (name == "c" || name == "other") {
    return Union(Categories("c"), Assigned().Complement());
  }
  return std::nullopt;
}

// The character in lower case; U+0130 alone becomes two.
char32_t LowercaseOf(char32_t c) {
  const auto after =
      std::upper_bound(std::begin(kLowercaseRuns), std::end(kLowercaseRuns), c,
                       [](char32_t value, const LowercaseRun& run) { return value < run.first; });
  if (after == std::begin(kLowercaseRuns)) return c;
  const LowercaseRun& run = *std::prev(after);
  if (c > run.last || static_cast<int>(c - run.first) % run.step != 0) return c;
  return static_cast<char32_t>(static_cast<int>(c) + run.delta);
}

}  // namespace

std::optional<CodePointSet> UnicodeProperty(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c == ' ' || c == '-' || c == '_') continue;
    plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  for (const Alias& alias : kAliases) {
    if (plain == alias.name) plain = alias.category;
  }
  if (std::optional<CodePointSet> derived = DerivedProperty(plain)) return derived;
  for (const NamedSet& set : kNamedSets) {
    if (plain == set.name) return CodePointSet(set.ranges);
  }
  if (plain.empty() || plain.size() > 2) return std::nullopt;
  CodePointSet categories = Categories(plain);
  if (categories.empty()) return std::nullopt;
  return categories;
}

CodePointSet UnicodeWhiteSpace() {
  return Union(Categories("z"), SetOf({{0x09, 0x0D}, {0x85, 0x85}}));
}

CodePointSet UnicodeRustWord() {
  CodePointSet word(kAlphabetic);
  for (const char* category : {"m", "nd", "pc"}) word.Add(Categories(category));
  word.Add({0x200C, 0x200D});
  return word;
}

CodePointSet UnicodeWord() {
  return Union(UnicodeRustWord().Without(SetOf({{0x200C, 0x200D}})),
               SetOf({{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}}));
}

CodePointSet UnicodeNumeric() { return Union(Categories("n"), CodePointSet(kOtherNumeric)); }
CodePointSet UnicodePunctuation() { return CodePointSet(kPunctuation); }
CodePointSet UnicodeAccents() { return CodePointSet(kAccents); }
CodePointSet UnicodeBertAccents() { return CodePointSet(kBertAccents); }
CodePointSet UnicodeBertUnwanted() { return CodePointSet(kBertRemoved); }

GraphemeClasses::GraphemeClasses()
    : extend(kGraphemeExtend),
      spacing_mark(kGraphemeSpacingMark),
      prepend(kGraphemePrepend),
      control(kGraphemeControl) {}

void AppendLowercase(char32_t c, std::string& out) {
  if (c == 0x130) {
    out += "i\u0307";
  } else {
    AppendUtf8(LowercaseOf(c), out);
  }
}

void AddOtherCases(CodePointSet& set) {
  // What no character's lower case is.
  constexpr std::pair<char32_t, char32_t> kMore[] = {{0x17F, 's'}, {0x212A, 'k'}, {0x212B, 0xE5}};
  // Twice: 'S' brings 's', which brings U+017F.
  for (int round = 0; round < 2; ++round) {
    std::vector<CodePointRange> more;
    const auto pair = [&](char32_t a, char32_t b) {
      if (set.Has(a)) more.push_back({b, b});
      if (set.Has(b)) more.push_back({a, a});
    };
    for (const LowercaseRun& run : kLowercaseRuns) {
      for (char32_t c = run.first; c <= run.last; c += static_cast<char32_t>(run.step)) {
        pair(c, static_cast<char32_t>(static_cast<int>(c) + run.delta));
      }
    }
    for (const auto& [a, b] : kMore) pair(a, b);
    set.Add(CodePointSet(more));
  }
}

}  // namespace spillway
