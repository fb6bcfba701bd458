// worker/prompt_echo.h: a prompt as text, and where its tokens begin in it.

#include "worker/prompt_echo.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"

namespace spillway {
namespace {

class PromptEchoTest : public ::testing::Test {
 protected:
  static std::vector<int64_t> Begins(const PromptEcho& echo, size_t tokens) {
    std::vector<int64_t> begins;
    for (size_t i = 0; i <= tokens; ++i) begins.push_back(echo.BeginOf(static_cast<int32_t>(i)));
    return begins;
  }
  PromptEcho Of(const std::vector<TokenId>& tokens, std::string text = "") const {
    return PromptEcho(*tokenizer_, tokens, std::move(text));
  }

  const std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
};

TEST_F(PromptEchoTest, IdsReadAsTheirTokensAndControlTokensAsNothing) {
  const PromptEcho echo = Of({kByteVocabularyStart, 'a', 'b', kByteVocabularyEnd});
  EXPECT_EQ(echo.text(), "ab");
  EXPECT_EQ(Begins(echo, 4), (std::vector<int64_t>{0, 0, 1, 2, 2}));
}

TEST_F(PromptEchoTest, TokensInsideACharacterBeginWhereItBegins) {
  const PromptEcho echo = Of({'a', 0xE4, 0xBD, 0xA0, 'b'});
  EXPECT_EQ(echo.text(),
            "a\xE4\xBD\xA0"
            "b");
  EXPECT_EQ(Begins(echo, 5), (std::vector<int64_t>{0, 1, 1, 1, 4, 5}));
}

TEST_F(PromptEchoTest, BytesThatAreNoCharacterAreReplaced) {
  const PromptEcho echo = Of({0xFF, 'a', 0xE4});
  EXPECT_EQ(echo.text(),
            "\xEF\xBF\xBD"
            "a\xEF\xBF\xBD");
  EXPECT_EQ(Begins(echo, 3), (std::vector<int64_t>{0, 3, 4, 7}));
}

TEST_F(PromptEchoTest, ATextIsEchoedAsItIs) {
  // A tokenizer that puts a space before the first word.
  const PromptEcho spaced = Of({' ', 'a', 'b'}, "ab");
  EXPECT_EQ(spaced.text(), "ab");
  EXPECT_EQ(Begins(spaced, 3), (std::vector<int64_t>{0, 0, 1, 2}));
  // One that has no token for a part of the text.
  const PromptEcho lacking = Of({'a', 'b'}, "\xC3\xA9");
  EXPECT_EQ(lacking.text(), "\xC3\xA9");
  EXPECT_EQ(Begins(lacking, 2), (std::vector<int64_t>{0, 0, 2}));
}

}  // namespace
}  // namespace spillway
