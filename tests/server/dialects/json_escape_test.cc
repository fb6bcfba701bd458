#include "server/dialects/json_escape.h"

#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

std::string Escape(std::string_view text) {
  std::string out;
  AppendJsonEscaped(out, text);
  return out;
}

TEST(JsonEscapeTest, PlainTextStaysAsItIs) {
  EXPECT_EQ(Escape("The quick fox / jumps\x7f"), "The quick fox / jumps\x7f");
  EXPECT_EQ(Escape(""), "");
}

TEST(JsonEscapeTest, QuotesBackslashesAndControls) {
  EXPECT_EQ(Escape("a\"b\\c\nd\re\tf"), "a\\\"b\\\\c\\nd\\re\\tf");
  EXPECT_EQ(Escape(std::string_view("\0\x01\x1f\b\f", 5)), "\\u0000\\u0001\\u001f\\u0008\\u000c");
}

TEST(JsonEscapeTest, WholeCharactersOfAllLengths) {
  // U+2028 is a line end to old JavaScript, but fine in JSON.
  const std::string text = "\xc3\xa9 \xe4\xbd\xa0 \xf0\x9f\x98\x80 \xe2\x80\xa8 \xf4\x8f\xbf\xbf";
  EXPECT_EQ(Escape(text), text);
}

TEST(JsonEscapeTest, InvalidBytesBecomeReplacementCharacters) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(Escape("a\xff"
                   "b"),
            "a" + r + "b");
  EXPECT_EQ(Escape("\x80"), r);
  EXPECT_EQ(Escape("\xe4\xbd"), r + r);                  // cut short
  EXPECT_EQ(Escape("\xe4\xbd\"x"), r + r + "\\\"x");     // cut short before a quote
  EXPECT_EQ(Escape("\xc0\xaf"), r + r);                  // overlong
  EXPECT_EQ(Escape("\xe0\x80\xaf"), r + r + r);          // overlong
  EXPECT_EQ(Escape("\xed\xa0\x80"), r + r + r);          // a surrogate
  EXPECT_EQ(Escape("\xf4\x90\x80\x80"), r + r + r + r);  // over U+10FFFF
  EXPECT_EQ(Escape("\xf0\x8f\xbf\xbf"), r + r + r + r);  // overlong
}

}  // namespace
}  // namespace spillway
