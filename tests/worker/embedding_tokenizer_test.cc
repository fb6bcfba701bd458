#include "worker/embedding_tokenizer.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Tokens are bytes; start and end are put around a text, of at most six tokens in all.
class EmbeddingTokenizerTest : public ::testing::Test {
 protected:
  const std::unique_ptr<Tokenizer> bytes_ = *Tokenizer::Create(ByteVocabulary());
  const EmbeddingTokenizer tokenizer_{
      *bytes_, {kByteVocabularyStart}, {kByteVocabularyEnd}, /*text_tokens_max=*/6};
};

TEST_F(EmbeddingTokenizerTest, ATextIsSurrounded) {
  const auto encoded = tokenizer_.Encode("abcd", /*truncate=*/false);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_THAT(encoded->tokens,
              ElementsAre(kByteVocabularyStart, 'a', 'b', 'c', 'd', kByteVocabularyEnd));
  EXPECT_FALSE(encoded->truncated);
  EXPECT_THAT(tokenizer_.Encode("", false)->tokens,
              ElementsAre(kByteVocabularyStart, kByteVocabularyEnd));
}

TEST_F(EmbeddingTokenizerTest, ATextThatIsTooLongLosesItsEndButNotTheSuffix) {
  const auto encoded = tokenizer_.Encode("abcdefg", /*truncate=*/true);
  EXPECT_THAT(encoded->tokens,
              ElementsAre(kByteVocabularyStart, 'a', 'b', 'c', 'd', kByteVocabularyEnd));
  EXPECT_TRUE(encoded->truncated);
  const absl::Status refused = tokenizer_.Encode("abcde", /*truncate=*/false).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("has 7 tokens; this model takes 6"));
}

TEST_F(EmbeddingTokenizerTest, SpecialTokensInATextCount) {
  EXPECT_THAT(tokenizer_.Encode("a<|end|>", false)->tokens,
              ElementsAre(kByteVocabularyStart, 'a', kByteVocabularyEnd, kByteVocabularyEnd));
}

TEST_F(EmbeddingTokenizerTest, TokenIdsStayAsTheyAre) {
  EXPECT_THAT(tokenizer_.Check({1, 2}, false)->tokens, ElementsAre(1, 2));
  EXPECT_THAT(tokenizer_.Check({1, 2, 3, 4, 5, 6, 7}, true)->tokens, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_FALSE(tokenizer_.Check({1, 2, 3, 4, 5, 6, 7}, false).ok());
  EXPECT_FALSE(tokenizer_.Check({}, true).ok());
  EXPECT_FALSE(tokenizer_.Check({-1}, true).ok());
  EXPECT_THAT(std::string(tokenizer_.Check({kByteVocabularySize}, true).status().message()),
              HasSubstr("token 258"));
}

TEST(EmbeddingTokenizerAloneTest, WithoutAnythingAroundItATextMustHaveTokens) {
  const std::unique_ptr<Tokenizer> bytes = *Tokenizer::Create(ByteVocabulary());
  const EmbeddingTokenizer tokenizer(*bytes, {}, {}, 6);
  EXPECT_FALSE(tokenizer.Encode("", false).ok());
  EXPECT_THAT(tokenizer.Encode("a", false)->tokens, ElementsAre('a'));
}

}  // namespace
}  // namespace spillway
