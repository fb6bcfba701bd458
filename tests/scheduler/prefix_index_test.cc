#include "scheduler/prefix_index.h"

#include <map>
#include <random>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr PrefixNode kRoot{};
const std::vector<TokenId> kTokens = {1, 2};

TEST(PrefixIndexTest, FindsByParentSaltAndTokens) {
  PrefixIndex index(4, 2);
  const PrefixNode node = index.Insert(kRoot, 5, kTokens, BlockId{3});
  const auto found = index.Find(kRoot, 5, kTokens);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->block, BlockId{3});
  EXPECT_EQ(found->node, node);
  EXPECT_FALSE(index.Find(kRoot, 6, kTokens).has_value());
  EXPECT_FALSE(index.Find(node, 5, kTokens).has_value());
  EXPECT_FALSE(index.Find(kRoot, 5, std::vector<TokenId>{2, 1}).has_value());
}

TEST(PrefixIndexTest, OfEqualBlocksTheFirstStays) {
  PrefixIndex index(4, 2);
  const PrefixNode first = index.Insert(kRoot, 0, kTokens, BlockId{0});
  EXPECT_EQ(index.Insert(kRoot, 0, kTokens, BlockId{1}), first);
  EXPECT_EQ(index.Find(kRoot, 0, kTokens)->block, BlockId{0});
  EXPECT_FALSE(index.Contains(BlockId{1}));
}

TEST(PrefixIndexTest, AChildOfAnErasedParentIsNotFoundUnderItsSuccessor) {
  PrefixIndex index(4, 2);
  const PrefixNode parent = index.Insert(kRoot, 0, kTokens, BlockId{0});
  index.Insert(parent, 0, kTokens, BlockId{1});
  index.Erase(BlockId{0});
  const PrefixNode successor = index.Insert(kRoot, 0, std::vector<TokenId>{8, 9}, BlockId{0});
  EXPECT_FALSE(index.Find(successor, 0, kTokens).has_value());
}

TEST(PrefixIndexTest, ErasingWhatIsNotEnteredDoesNothing) {
  PrefixIndex index(4, 2);
  index.Erase(BlockId{2});
  EXPECT_EQ(index.size(), 0);
}

// Against a plain map, with so few distinct keys that buckets and reuse are well mixed.
TEST(PrefixIndexTest, AgreesWithAMap) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 rng(seed);
    PrefixIndex index(16, 2);
    using Key = std::tuple<PrefixNode, uint64_t, TokenId>;
    std::map<Key, PrefixIndex::Entry> model;
    std::map<BlockId, Key> keys;
    std::vector<PrefixNode> nodes = {kRoot};
    for (int i = 0; i < 400; ++i) {
      const Key key{nodes[rng() % nodes.size()], rng() % 2, static_cast<TokenId>(rng() % 3)};
      const auto& [parent, salt, token] = key;
      const std::vector<TokenId> tokens = {token, 0};
      const BlockId block{static_cast<int32_t>(rng() % 16)};
      if (rng() % 3 == 0) {
        if (const auto it = keys.find(block); it != keys.end()) {
          model.erase(it->second);
          keys.erase(it);
        }
        index.Erase(block);
      } else if (!index.Contains(block)) {
        const PrefixNode node = index.Insert(parent, salt, tokens, block);
        const auto [it, inserted] = model.emplace(key, PrefixIndex::Entry{node, block});
        ASSERT_EQ(it->second.node, node) << "seed " << seed;
        if (inserted) {
          keys.emplace(block, key);
          nodes.push_back(node);
        }
      }
      const auto found = index.Find(parent, salt, tokens);
      const auto expected = model.find(key);
      ASSERT_EQ(found.has_value(), expected != model.end()) << "seed " << seed;
      ASSERT_TRUE(!found.has_value() || found->block == expected->second.block);
      ASSERT_EQ(index.size(), static_cast<int32_t>(model.size()));
    }
  }
}

}  // namespace
}  // namespace spillway
