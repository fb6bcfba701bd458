#include "worker/text/byte_pair_merger.h"

#include <map>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;

struct Rule {
  TokenId left;
  TokenId right;
  TokenId merged;
};

// The definition, word for word.
std::vector<TokenId> MergeByDefinition(const std::vector<Rule>& rules,
                                       std::vector<TokenId> tokens) {
  for (bool merged = true; merged;) {
    merged = false;
    for (const Rule& rule : rules) {
      for (size_t i = 0; i + 1 < tokens.size() && !merged; ++i) {
        if (tokens[i] != rule.left || tokens[i + 1] != rule.right) continue;
        tokens[i] = rule.merged;
        tokens.erase(tokens.begin() + static_cast<long>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  return tokens;
}

TEST(BytePairMergerTest, BestRankFirstThenLeftmost) {
  BytePairMerger merger;
  merger.Add(2, 3, 10);
  merger.Add(1, 2, 11);
  merger.Add(1, 2, 99);  // Of a repeated pair the last counts.
  merger.Add(5, 5, 12);
  std::vector<TokenId> tokens = {1, 2, 3, 1, 2, 5, 5, 5};

  merger.Merge(tokens);

  EXPECT_THAT(tokens, ElementsAre(1, 10, 99, 12, 5));
}

TEST(BytePairMergerTest, FollowsTheDefinitionAtEveryLength) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](size_t n) { return static_cast<TokenId>(random() % n); };
    BytePairMerger merger;
    std::vector<Rule> rules;
    std::map<std::pair<TokenId, TokenId>, bool> seen;
    for (int i = 0; i < 25; ++i) {
      const Rule rule = {below(3 + i), below(3 + i), 3 + i};
      if (seen[{rule.left, rule.right}]) continue;
      seen[{rule.left, rule.right}] = true;
      rules.push_back(rule);
      merger.Add(rule.left, rule.right, rule.merged);
    }
    std::vector<TokenId> tokens(random() % 100);  // Both sides of where the heap takes over.
    for (TokenId& token : tokens) token = below(3);
    const std::vector<TokenId> expected = MergeByDefinition(rules, tokens);

    merger.Merge(tokens);

    EXPECT_EQ(tokens, expected);
  }
}

}  // namespace
}  // namespace spillway
