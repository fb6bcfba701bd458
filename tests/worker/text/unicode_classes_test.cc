#include "worker/text/unicode_classes.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace spillway {
namespace {

uint64_t Fnv1a(std::string_view bytes) {
  uint64_t value = 0xCBF29CE484222325;
  for (const char byte : bytes) value = (value ^ static_cast<uint8_t>(byte)) * 0x100000001B3;
  return value;
}

template <typename OnCharacter>
void ForEachCharacter(OnCharacter on_character) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c < 0xD800 || c > 0xDFFF) on_character(c);
  }
}

struct Class {
  const char* name;
  bool (*holds)(char32_t);
  uint64_t hash;
};

// Python 3.11's, as tools/make_unicode_classes.py prints them.
constexpr Class kClasses[] = {
    {"alpha", &unicode::IsAlpha, 0x4ed4e0fed479eab9},
    {"decimal", &unicode::IsDecimal, 0xa391a4f4115f88e9},
    {"digit", &unicode::IsDigit, 0x0cc9c4363d4a5da5},
    {"numeric", &unicode::IsNumeric, 0xf9edf4ab6aa9f8d1},
    {"printable", &unicode::IsPrintable, 0x0149ea8f30823f59},
    {"lower", &unicode::IsLower, 0x0e5a49ef797d1560},
    {"upper", &unicode::IsUpper, 0x2be58002d0ed51a4},
    {"title", &unicode::IsTitle, 0xe5c2807c98cb7a38},
    {"identifier start", &unicode::IsIdentifierStart, 0xb1c1cc11d0936f0e},
    {"identifier part", &unicode::IsIdentifierPart, 0xf6f53b156bb9868a},
    {"space", &IsUnicodeSpace, 0x7bb07f364b66b908},
};

struct Case {
  const char* name;
  void (*append)(char32_t, std::string&);
  uint64_t hash;
};
constexpr Case kCases[] = {
    {"upper", &unicode::AppendUpper, 0xf1a6102c65729830},
    {"lower", &unicode::AppendLower, 0xc319d02e8283b91e},
    {"title", &unicode::AppendTitle, 0x5553b8be0b3cbf35},
    {"folded", &unicode::AppendFolded, 0x5fd6a1292f7b8d6c},
};

TEST(UnicodeClassesTest, EveryCharacterIsInPythonsClasses) {
  for (const Class& of : kClasses) {
    std::string holds;
    ForEachCharacter([&](char32_t c) { holds += of.holds(c) ? '\1' : '\0'; });
    EXPECT_EQ(Fnv1a(holds), of.hash) << of.name;
  }
}

TEST(UnicodeClassesTest, EveryCharacterHasPythonsCases) {
  for (const Case& to : kCases) {
    std::string all;
    ForEachCharacter([&](char32_t c) { to.append(c, all); });
    EXPECT_EQ(Fnv1a(all), to.hash) << to.name;
  }
}

TEST(UnicodeClassesTest, DecimalsHaveValues) {
  EXPECT_EQ(unicode::DecimalValue('0'), 0);
  EXPECT_EQ(unicode::DecimalValue('9'), 9);
  EXPECT_EQ(unicode::DecimalValue(0x0667), 7);   // Arabic-Indic
  EXPECT_EQ(unicode::DecimalValue(0xFF12), 2);   // fullwidth
  EXPECT_EQ(unicode::DecimalValue(0x1D7D8), 0);  // double-struck, right behind the bold ones
}

}  // namespace
}  // namespace spillway
