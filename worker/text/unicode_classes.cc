#include "worker/text/unicode_classes.h"

#include <ctype.h>
#include <wctype.h>

#include "worker/text/utf8.h"

namespace spillway {
namespace {

struct Expansion {
  char32_t from;
  const char* upper;
};

// The letters of SpecialCasing.txt that text is likely to have.
constexpr Expansion kUpperExpansions[] = {{0xDF, "SS"},   {0xFB00, "FF"},  {0xFB01, "FI"},
                                          {0xFB02, "FL"}, {0xFB03, "FFI"}, {0xFB04, "FFL"},
                                          {0xFB05, "ST"}, {0xFB06, "ST"}};

struct Range {
  char32_t first;
  char32_t last;
};

// Format characters (Cf) and separators other than the space, which Python doesn't print.
constexpr Range kUnprintable[] = {
    {0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},     {0x6DD, 0x6DD},
    {0x70F, 0x70F},     {0x890, 0x891},     {0x8E2, 0x8E2},     {0x1680, 0x1680},
    {0x180E, 0x180E},   {0x2000, 0x200F},   {0x2028, 0x202F},   {0x205F, 0x206F},
    {0x3000, 0x3000},   {0xD800, 0xF8FF},   {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB},
    {0x110BD, 0x110BD}, {0x1D173, 0x1D17A}, {0xE0000, 0xE007F}, {0xF0000, 0x10FFFF}};

}  // namespace

bool IsUnicodeSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

UnicodeClasses::UnicodeClasses() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {}

UnicodeClasses::~UnicodeClasses() {
  if (locale_ != nullptr) freelocale(locale_);
}

void UnicodeClasses::AppendUpper(char32_t c, std::string& out) const {
  for (const Expansion& expansion : kUpperExpansions) {
    if (c == expansion.from) {
      out += expansion.upper;
      return;
    }
  }
  if (c >= 0x80 && locale_ == nullptr) return AppendUtf8(c, out);
  AppendUtf8(static_cast<char32_t>(locale_ == nullptr ? toupper(static_cast<int>(c))
                                                      : towupper_l(c, locale_)),
             out);
}

void UnicodeClasses::AppendLower(char32_t c, std::string& out) const {
  if (c == 0x130) {
    out += "i\u0307";
    return;
  }
  if (c >= 0x80 && locale_ == nullptr) return AppendUtf8(c, out);
  AppendUtf8(static_cast<char32_t>(locale_ == nullptr ? tolower(static_cast<int>(c))
                                                      : towlower_l(c, locale_)),
             out);
}

bool UnicodeClasses::IsUpper(char32_t c) const {
  return locale_ == nullptr ? c < 0x80 && isupper(static_cast<int>(c)) : iswupper_l(c, locale_);
}

bool UnicodeClasses::IsLower(char32_t c) const {
  return locale_ == nullptr ? c < 0x80 && islower(static_cast<int>(c)) : iswlower_l(c, locale_);
}

bool UnicodeClasses::IsAlpha(char32_t c) const {
  // The C library counts other scripts' digits as letters.
  if (IsDigit(c)) return false;
  return locale_ == nullptr ? c < 0x80 && isalpha(static_cast<int>(c)) : iswalpha_l(c, locale_);
}

bool UnicodeClasses::IsDigit(char32_t c) const {
  if (c < 0x80) return c >= '0' && c <= '9';
  // The decimal digits of the scripts that have letters beside them: blocks of ten.
  constexpr char32_t kZeros[] = {0x660, 0x6F0,  0x7C0,  0x966,  0x9E6, 0xA66, 0xAE6,
                                 0xB66, 0xBE6,  0xC66,  0xCE6,  0xD66, 0xE50, 0xED0,
                                 0xF20, 0x1040, 0x17E0, 0x1810, 0xFF10};
  for (const char32_t zero : kZeros) {
    if (c >= zero && c < zero + 10) return true;
  }
  return c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
         (c >= 0x2080 && c <= 0x2089);
}

bool UnicodeClasses::IsPrintable(char32_t c) const {
  if (c < 0x20 || (c >= 0x7F && c <= 0xA0)) return false;
  if (c < 0x80) return true;
  for (const Range& range : kUnprintable) {
    if (c >= range.first && c <= range.last) return false;
  }
  return locale_ == nullptr || iswprint_l(c, locale_);
}

}  // namespace spillway
