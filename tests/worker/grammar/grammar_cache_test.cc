#include "worker/grammar/grammar_cache.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"

namespace spillway {
namespace {

class GrammarCacheTest : public ::testing::Test {
 protected:
  static GrammarSource Source(const std::string& regex) {
    return {.kind = GrammarSource::Kind::kRegex, .text = regex};
  }

  std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
  GrammarCompiler compiler_{*tokenizer_};
  std::shared_ptr<const TokenGrammar> grammar_ = *compiler_.Compile(Source("a"));
};

TEST_F(GrammarCacheTest, FindsWhatWasAdded) {
  GrammarCache cache;
  EXPECT_EQ(cache.Find(Source("a")), nullptr);
  cache.Add(Source("a"), grammar_);
  EXPECT_EQ(cache.Find(Source("a")), grammar_);
  EXPECT_EQ(cache.Find({.kind = GrammarSource::Kind::kGrammar, .text = "a"}), nullptr);
}

TEST_F(GrammarCacheTest, TheLeastRecentlyUsedGoesFirst) {
  GrammarCache cache({.grammars_max = 2});
  cache.Add(Source("a"), grammar_);
  cache.Add(Source("b"), grammar_);
  cache.Find(Source("a"));
  cache.Add(Source("c"), grammar_);
  EXPECT_NE(cache.Find(Source("a")), nullptr);
  EXPECT_EQ(cache.Find(Source("b")), nullptr);
}

TEST_F(GrammarCacheTest, BytesAreBounded) {
  GrammarCache one;
  one.Add(Source("a"), grammar_);
  GrammarCache cache({.bytes_max = one.bytes() * 5 / 2});
  for (const char* regex : {"a", "b", "c"}) cache.Add(Source(regex), grammar_);
  EXPECT_EQ(cache.Find(Source("a")), nullptr);
  EXPECT_EQ(cache.bytes(), 2 * one.bytes());
  cache.Add(Source(std::string(one.bytes() * 3, 'x')), grammar_);
  EXPECT_NE(cache.Find(Source("c")), nullptr);
}

}  // namespace
}  // namespace spillway
