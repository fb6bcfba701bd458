#pragma once

#include <cstdint>
#include <string>

namespace spillway {

// Characters as Python's str sees them: case, classes, what its repr() shows. Tables made by asking
// it (tools/make_unicode_classes.py; Unicode 14), so that no locale and no C library matters.
// Requires code points up to 0x10FFFF.

// str.isspace() of one character.
bool IsUnicodeSpace(char32_t c);

namespace unicode {

bool IsAlpha(char32_t c);
bool IsDecimal(char32_t c);  // digits to count with, of any script
bool IsDigit(char32_t c);    // also superscripts and the like
bool IsNumeric(char32_t c);  // also fractions and ideographs
bool IsPrintable(char32_t c);
bool IsLower(char32_t c);
bool IsUpper(char32_t c);
bool IsTitle(char32_t c);  // one letter that is two, the first a capital: "ǅ"
bool IsIdentifierStart(char32_t c);
bool IsIdentifierPart(char32_t c);
// What str.lower() looks through to see whether a sigma ends a word.
bool IsCaseIgnorable(char32_t c);

inline bool IsCased(char32_t c) { return IsLower(c) || IsUpper(c) || IsTitle(c); }

// Append the character in another case; some become two or three. Lower case knows nothing of a
// sigma's place in its word.
void AppendUpper(char32_t c, std::string& out);
void AppendLower(char32_t c, std::string& out);
void AppendTitle(char32_t c, std::string& out);
void AppendFolded(char32_t c, std::string& out);  // for comparison: str.casefold()

// Decimal digits' value, 0 to 9. Requires IsDecimal().
int DecimalValue(char32_t c);

}  // namespace unicode
}  // namespace spillway
