#include "scheduler/kv_block_pool.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(KvBlockPoolTest, HandsOutEachBlockOnce) {
  KvBlockPool pool(2);
  const BlockId first = pool.Take();
  EXPECT_NE(first, pool.Take());
  EXPECT_EQ(pool.free_count(), 0);
}

TEST(KvBlockPoolTest, ReusesWhatIsWorthlessFirstThenTheLeastRecentlyFreed) {
  KvBlockPool pool(3);
  const BlockId a = pool.Take();
  const BlockId b = pool.Take();
  const BlockId c = pool.Take();
  pool.Release(a, BlockReuse::kLast);
  pool.Release(b, BlockReuse::kLast);
  pool.Release(c, BlockReuse::kFirst);
  EXPECT_EQ(pool.Take(), c);
  EXPECT_EQ(pool.Take(), a);
  EXPECT_EQ(pool.Take(), b);
}

TEST(KvBlockPoolTest, IsFreeOnlyWhenTheLastUserReleasesIt) {
  KvBlockPool pool(1);
  const BlockId block = pool.Take();
  pool.Share(block);
  pool.Release(block, BlockReuse::kLast);
  EXPECT_EQ(pool.free_count(), 0);
  pool.Release(block, BlockReuse::kLast);
  EXPECT_EQ(pool.free_count(), 1);
}

TEST(KvBlockPoolTest, AFreeBlockCanBeSharedAgain) {
  KvBlockPool pool(2);
  const BlockId block = pool.Take();
  pool.Release(block, BlockReuse::kFirst);
  pool.Share(block);
  EXPECT_EQ(pool.users(block), 1);
  EXPECT_NE(pool.Take(), block);
}

TEST(KvBlockPoolDeathTest, TakingFromNothingOrReleasingTwiceIsOurOwnBug) {
  KvBlockPool pool(1);
  const BlockId block = pool.Take();
  EXPECT_DEATH(pool.Take(), "free_count_ > 0");
  pool.Release(block, BlockReuse::kLast);
  EXPECT_DEATH(pool.Release(block, BlockReuse::kLast), "users > 0");
}

}  // namespace
}  // namespace spillway
