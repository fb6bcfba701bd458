#include "worker/text/token_trie.h"

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

using Found = std::vector<std::pair<TokenId, size_t>>;

Found Prefixes(const TokenTrie& trie, std::string_view text) {
  Found found;
  trie.ForEachPrefix(text, [&](TokenId token, size_t size) { found.emplace_back(token, size); });
  return found;
}

TEST(TokenTrieTest, FindsThePrefixesShortestFirst) {
  const TokenTrie trie({{"abc", 3}, {"a", 1}, {"ab", 2}, {"b", 4}});

  EXPECT_THAT(Prefixes(trie, "abcd"), ElementsAre(Pair(1, 1), Pair(2, 2), Pair(3, 3)));
  EXPECT_THAT(Prefixes(trie, "ab"), ElementsAre(Pair(1, 1), Pair(2, 2)));
  EXPECT_THAT(Prefixes(trie, "xa"), IsEmpty());
  EXPECT_THAT(Prefixes(trie, ""), IsEmpty());
}

TEST(TokenTrieTest, OfEqualTextsTheFirstCounts) {
  EXPECT_THAT(Prefixes(TokenTrie({{"a", 2}, {"a", 1}}), "a"), ElementsAre(Pair(2, 1)));
}

TEST(TokenTrieTest, WithoutTokensItIsEmpty) {
  EXPECT_TRUE(TokenTrie({}).empty());
  EXPECT_FALSE(TokenTrie({{"a", 1}}).empty());
  EXPECT_THAT(Prefixes(TokenTrie({}), "a"), IsEmpty());
}

TEST(TokenTrieTest, FindsWhatAMapFinds) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto text_of = [&](size_t size) {
      std::string text;
      while (text.size() < size) text += static_cast<char>("ab\xFF\x01"[random() % 4]);
      return text;
    };
    std::map<std::string, TokenId> texts;
    for (TokenId token = 0; token < 30; ++token) texts.emplace(text_of(1 + random() % 5), token);
    const TokenTrie trie(
        std::vector<std::pair<std::string_view, TokenId>>(texts.begin(), texts.end()));
    const std::string text = text_of(8);
    Found expected;
    for (size_t size = 1; size <= text.size(); ++size) {
      const auto found = texts.find(text.substr(0, size));
      if (found != texts.end()) expected.emplace_back(found->second, size);
    }

    EXPECT_EQ(Prefixes(trie, text), expected) << seed;
  }
}

}  // namespace
}  // namespace spillway
