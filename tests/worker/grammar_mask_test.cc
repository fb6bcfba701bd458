#include "worker/grammar_mask.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"
#include "worker/grammar/token_grammar.h"

namespace spillway {
namespace {

class GrammarMaskTest : public ::testing::Test {
 protected:
  GrammarMask Make(const ReasoningStart& reasoning) {
    return GrammarMask(grammar_, *tokenizer_, reasoning, {kByteVocabularyEnd});
  }
  static bool Allows(std::span<const int32_t> mask, TokenId token) {
    return mask.empty() || (mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1) != 0;
  }
  static std::vector<TokenId> Tokens(std::string_view text) {
    std::vector<TokenId> tokens;
    for (const char byte : text) tokens.push_back(static_cast<uint8_t>(byte));
    return tokens;
  }

  std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
  std::shared_ptr<const TokenGrammar> grammar_ =
      *GrammarCompiler(*tokenizer_).Compile({.kind = GrammarSource::Kind::kRegex, .text = "ab"});
  const ReasoningFormat* think_ = FindReasoningFormat("</think>");
};

TEST_F(GrammarMaskTest, TheGrammarBeginsAtOnceWithoutReasoning) {
  GrammarMask mask = Make({});
  EXPECT_TRUE(Allows(mask.Allowed({}, -1), 'a'));
  EXPECT_FALSE(Allows(mask.Allowed({}, -1), 'b'));
  EXPECT_TRUE(Allows(mask.Allowed({}, 'a'), 'b'));
  EXPECT_FALSE(Allows(mask.Allowed(Tokens("a"), -1), kByteVocabularyEnd));
  EXPECT_TRUE(Allows(mask.Allowed(Tokens("a"), 'b'), kByteVocabularyEnd));
  EXPECT_FALSE(Allows(mask.Allowed(Tokens("ab"), -1), 'a'));
  // What follows the end is thrown away.
  EXPECT_TRUE(mask.Allowed(Tokens("ab"), kByteVocabularyEnd).empty());
}

TEST_F(GrammarMaskTest, ReasoningIsFreeButDoesNotEndTheText) {
  GrammarMask mask = Make({.format = think_, .open = true});
  const std::string thoughts = "b</thin</think>";
  for (size_t i = 0; i < thoughts.size(); ++i) {
    const auto allowed = mask.Allowed(Tokens(thoughts.substr(0, i)), -1);
    EXPECT_TRUE(Allows(allowed, 'x') && Allows(allowed, 'a')) << i;
    EXPECT_FALSE(Allows(allowed, kByteVocabularyEnd)) << i;
  }
  EXPECT_TRUE(Allows(mask.Allowed(Tokens(thoughts), -1), 'a'));
  EXPECT_FALSE(Allows(mask.Allowed(Tokens(thoughts), -1), 'x'));
  EXPECT_TRUE(Allows(mask.Allowed(Tokens(thoughts), 'a'), 'b'));
}

// A resumed or preempted sequence comes with all its tokens at once.
TEST_F(GrammarMaskTest, ReadsWhatThereIsInAnyPieces) {
  const std::vector<TokenId> output = Tokens("x</think>a");
  for (size_t known = 0; known <= output.size(); ++known) {
    GrammarMask mask = Make({.format = think_, .open = true});
    (void)mask.Allowed(std::span(output).first(known), -1);
    EXPECT_TRUE(Allows(mask.Allowed(output, -1), 'b')) << known;
    EXPECT_FALSE(Allows(mask.Allowed(output, -1), 'a')) << known;
  }
}

TEST_F(GrammarMaskTest, BehindATokenThatItDoesNotAllowNothingMayFollow) {
  GrammarMask mask = Make({});
  const auto allowed = mask.Allowed(Tokens("ax"), -1);
  for (TokenId token = 0; token < kByteVocabularySize; ++token) {
    EXPECT_FALSE(Allows(allowed, token));
  }
}

TEST_F(GrammarMaskTest, BlanksComeToAnEndWhereSomethingElseMayFollow) {
  const auto allows_blank = [this](const std::string& regex, const std::string& output) {
    grammar_ =
        *GrammarCompiler(*tokenizer_).Compile({.kind = GrammarSource::Kind::kRegex, .text = regex});
    GrammarMask mask = Make({});
    return Allows(mask.Allowed(Tokens(output), -1), ' ');
  };
  EXPECT_TRUE(allows_blank("a[ \\n]*b", "a  \n    "));
  EXPECT_FALSE(allows_blank("a[ \\n]*b", "a  \n     "));
  EXPECT_TRUE(allows_blank(" {9}b", "        "));
}

}  // namespace
}  // namespace spillway
