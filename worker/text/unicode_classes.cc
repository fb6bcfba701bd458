#include "worker/text/unicode_classes.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "worker/text/utf8.h"

namespace spillway {
namespace {

enum Flag : uint16_t {
  kAlpha = 1 << 0,
  kDecimal = 1 << 1,
  kDigit = 1 << 2,
  kNumeric = 1 << 3,
  kPrintable = 1 << 4,
  kLower = 1 << 5,
  kUpper = 1 << 6,
  kTitle = 1 << 7,
  kIdentifierStart = 1 << 8,
  kIdentifierPart = 1 << 9,
  kCaseIgnorable = 1 << 10,
};

// Every `step`th character from `first` to `last` becomes the one `difference` further on.
struct CaseRun {
  char32_t first;
  char32_t last;
  char32_t step;
  int32_t difference;
};

struct CaseText {
  char32_t c;
  const char* text;
};

#include "worker/text/unicode_classes.inc"

constexpr uint32_t kKindBits = 5;
constexpr uint32_t kKindMask = (1u << kKindBits) - 1;

uint16_t FlagsOf(char32_t c) {
  const uint32_t* const after =
      std::upper_bound(std::begin(kKindStarts), std::end(kKindStarts), c << kKindBits | kKindMask);
  return kKinds[*(after - 1) & kKindMask];
}

// Most text is ASCII, or nearly.
constexpr size_t kNearEnd = 0x180;
struct NearFlags {
  uint16_t flags[kNearEnd] = {};
  NearFlags() {
    for (char32_t c = 0; c < kNearEnd; ++c) flags[c] = FlagsOf(c);
  }
};

bool Has(char32_t c, Flag flag) {
  static const NearFlags kNear;
  return ((c < kNearEnd ? kNear.flags[c] : FlagsOf(c)) & flag) != 0;
}

// False: not in these tables.
bool Append(std::span<const CaseRun> runs, std::span<const CaseText> texts, char32_t c,
            std::string& out) {
  const auto run = std::lower_bound(runs.begin(), runs.end(), c,
                                    [](const CaseRun& r, char32_t x) { return r.last < x; });
  if (run != runs.end() && c >= run->first && (c - run->first) % run->step == 0) {
    AppendUtf8(static_cast<char32_t>(static_cast<int32_t>(c) + run->difference), out);
    return true;
  }
  const auto text = std::lower_bound(texts.begin(), texts.end(), c,
                                     [](const CaseText& t, char32_t x) { return t.c < x; });
  if (text == texts.end() || text->c != c) return false;
  out += text->text;
  return true;
}

}  // namespace

bool IsUnicodeSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

namespace unicode {

bool IsAlpha(char32_t c) { return Has(c, kAlpha); }
bool IsDecimal(char32_t c) { return Has(c, kDecimal); }
bool IsDigit(char32_t c) { return Has(c, kDigit); }
bool IsNumeric(char32_t c) { return Has(c, kNumeric); }
bool IsPrintable(char32_t c) { return Has(c, kPrintable); }
bool IsLower(char32_t c) { return Has(c, kLower); }
bool IsUpper(char32_t c) { return Has(c, kUpper); }
bool IsTitle(char32_t c) { return Has(c, kTitle); }
bool IsIdentifierStart(char32_t c) { return Has(c, kIdentifierStart); }
bool IsIdentifierPart(char32_t c) { return Has(c, kIdentifierPart); }
bool IsCaseIgnorable(char32_t c) { return Has(c, kCaseIgnorable); }

void AppendUpper(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    return;
  }
  if (!Append(kUpperRuns, kUpperTexts, c, out)) AppendUtf8(c, out);
}

void AppendLower(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  if (!Append(kLowerRuns, kLowerTexts, c, out)) AppendUtf8(c, out);
}

void AppendTitle(char32_t c, std::string& out) {
  if (c < 0x80) return AppendUpper(c, out);
  if (!Append(kTitleRuns, kTitleTexts, c, out)) AppendUpper(c, out);
}

void AppendFolded(char32_t c, std::string& out) {
  if (c < 0x80) return AppendLower(c, out);
  if (!Append(kFoldedRuns, kFoldedTexts, c, out)) AppendLower(c, out);
}

int DecimalValue(char32_t c) {
  // Ten of a script follow each other, and mathematical ones do so five times from U+1D7CE on.
  if (c >= 0x1D7CE && c <= 0x1D7FF) return static_cast<int>(c - 0x1D7CE) % 10;
  int value = 0;
  while (value < 9 && IsDecimal(c - static_cast<char32_t>(value) - 1)) ++value;
  return value;
}

}  // namespace unicode
}  // namespace spillway
