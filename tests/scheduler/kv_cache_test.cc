#include "scheduler/kv_cache.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/scheduler/scheduler_fixture.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(KvCacheTest, CachedBlocksThatNobodyUsesCountAsNeeded) {
  KvCache cache({.block_tokens = 4, .block_count = 4});
  BlockTable table;
  cache.Start(Tokens(9), 0, table);
  cache.Index(Tokens(8), 0, table);
  EXPECT_EQ(cache.FreeBlocksNeeded(cache.Match(Tokens(9), 0), 9), 1);
  cache.Release(table);
  EXPECT_EQ(cache.FreeBlocksNeeded(cache.Match(Tokens(9), 0), 9), 3);
}

TEST(KvCacheTest, StartClaimsWhatIsCachedBeforeItTakesAnything) {
  KvCache cache({.block_tokens = 4, .block_count = 3});
  BlockTable table;
  cache.Start(Tokens(12), 0, table);
  const std::vector<BlockId> blocks = table.blocks;
  cache.Index(Tokens(12), 0, table);
  cache.Release(table);

  // The tail, next to be reused, is itself among what is cached.
  EXPECT_EQ(cache.Start(Tokens(12), 0, table), 8);
  EXPECT_THAT(table.blocks, ElementsAre(blocks[0], blocks[1], blocks[2]));
}

TEST(KvCacheTest, GrowTakesAllOrNothing) {
  KvCache cache({.block_tokens = 4, .block_count = 2});
  BlockTable table;
  EXPECT_FALSE(cache.Grow(table, 9));
  EXPECT_THAT(table.blocks, IsEmpty());
  EXPECT_TRUE(cache.Grow(table, 8));
}

TEST(KvCacheTest, ATakenBlockIsForgotten) {
  KvCache cache({.block_tokens = 4, .block_count = 2});
  BlockTable table;
  cache.Start(Tokens(5), 0, table);
  cache.Index(Tokens(4), 0, table);
  cache.Release(table);
  BlockTable other;
  cache.Start(Tokens(8, 50), 0, other);
  EXPECT_THAT(cache.Match(Tokens(5), 0), IsEmpty());
}

TEST(KvCacheTest, ChainOfADuplicateGoesOnUnderTheFirst) {
  KvCache cache({.block_tokens = 4, .block_count = 8});
  BlockTable first;
  BlockTable second;
  cache.Start(Tokens(9), 0, first);
  cache.Start(Tokens(9), 0, second);
  cache.Index(Tokens(4), 0, first);
  cache.Index(Tokens(8), 0, second);  // Its first block is a duplicate, its second is not.
  EXPECT_THAT(cache.Match(Tokens(9), 0), ElementsAre(first.blocks[0], second.blocks[1]));
}

TEST(KvCacheTest, CatchUpStartsAtABlocksEndOnly) {
  KvCache cache({.block_tokens = 4, .block_count = 12});
  BlockTable first;
  BlockTable second;
  cache.Start(Tokens(13), 0, first);
  cache.Start(Tokens(13), 0, second);
  cache.Index(Tokens(12), 0, first);
  EXPECT_EQ(cache.CatchUp(Tokens(13), 0, 3, second), 3);
  EXPECT_EQ(cache.CatchUp(Tokens(13), 0, 0, second), 12);
  EXPECT_EQ(second.blocks[2], first.blocks[2]);
  EXPECT_NE(second.blocks[3], first.blocks[3]);
  EXPECT_EQ(cache.free_count(), 12 - 4 - 1);
}

TEST(KvCacheTest, SoleBlocksAreThoseThatReleaseWouldFree) {
  KvCache cache({.block_tokens = 4, .block_count = 12});
  BlockTable first;
  BlockTable second;
  cache.Start(Tokens(9), 0, first);
  cache.Index(Tokens(4), 0, first);
  cache.Start(Tokens(9), 0, second);
  EXPECT_EQ(cache.SoleBlocks(second, {}), 2);
  cache.Index(Tokens(8), 0, second);
  EXPECT_EQ(cache.SoleBlocks(second, cache.Match(Tokens(9), 0)), 1);
}

}  // namespace
}  // namespace spillway
