#include "worker/text/utf8.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(Utf8Test, EveryCodePointComesBack) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    std::string bytes;
    AppendUtf8(c, bytes);
    const Utf8Character character = FirstUtf8Character(bytes + "x");
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    ASSERT_EQ(character.kind == Utf8Character::Kind::kWhole, !surrogate)
        << static_cast<uint32_t>(c);
    if (surrogate) continue;
    ASSERT_TRUE(character.code_point == c);
    ASSERT_EQ(character.size, static_cast<int>(bytes.size()));
  }
}

// Expected texts are Python's bytes.decode(errors="replace").
TEST(Utf8Test, ReplacesAsPythonDoes) {
  EXPECT_EQ(ReplaceBadUtf8("a\xE4\xB8"
                           "b"),
            "a\uFFFDb");
  EXPECT_EQ(ReplaceBadUtf8("\xF0\x80\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(ReplaceBadUtf8("\xF0\x9F\x98"), "\uFFFD");
  EXPECT_EQ(ReplaceBadUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(ReplaceBadUtf8("\xC0\xAF\xFF\xC3"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(ReplaceBadUtf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(ReplaceBadUtf8("\xE1\x80\xE1\x80\x80"), "\uFFFD\u1000");
}

TEST(Utf8Test, KnowsWhatIsUtf8) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("\u00e9\U0001F600"));
  EXPECT_FALSE(IsUtf8("\xE9"));
}

}  // namespace
}  // namespace spillway
