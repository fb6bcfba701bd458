#include "server/cli/memory_shares.h"

#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;

TEST(MemorySharesTest, EqualWorkersGetEqualShares) {
  EXPECT_THAT(ShareMemory(1000, std::vector<int64_t>{80, 80}), ElementsAre(500, 500));
  EXPECT_THAT(ShareMemory(1000, std::vector<int64_t>{80}), ElementsAre(1000));
}

TEST(MemorySharesTest, ALargeModelGetsRoomForItself) {
  EXPECT_THAT(ShareMemory(1000, std::vector<int64_t>{640, 80}), ElementsAre(815, 185));
}

TEST(MemorySharesTest, ModelsThatDontFitShareInProportion) {
  EXPECT_THAT(ShareMemory(900, std::vector<int64_t>{1600, 800}), ElementsAre(600, 300));
}

TEST(MemorySharesTest, TogetherTheyNeverTakeMoreThanThereIs) {
  for (const int64_t available : {1, 7, 1000, 123456789}) {
    for (const std::vector<int64_t>& models :
         {std::vector<int64_t>{1, 2, 3}, {0, 0, 0}, {1 << 20, 5}, {99, 99, 99, 99, 99, 99, 99}}) {
      const std::vector<int64_t> shares = ShareMemory(available, models);
      const int64_t sum = std::accumulate(shares.begin(), shares.end(), int64_t{0});
      EXPECT_LE(sum, available + static_cast<int64_t>(shares.size()));  // none has less than 1
    }
  }
}

}  // namespace
}  // namespace spillway
